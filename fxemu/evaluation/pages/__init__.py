"""Pages of HTML, each one file that needs no network: a run, a comparison, a listening test."""
