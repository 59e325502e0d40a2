// A listening test: ABX trials, then MUSHRA screens, then what was what.
const data = JSON.parse(document.getElementById("data").textContent);

// The same bytes as `_stream` in listening.py.
function* stream(salt) {
  let state = parseInt(salt, 16);
  for (;;) {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    yield state >>> 24;
  }
}

function unsealed(text, salt) {
  const mask = stream(salt);
  const bytes = new Uint8Array(bytesOf(text)).map((byte) => byte ^ mask.next().value);
  return JSON.parse(new TextDecoder().decode(bytes));
}

const plan = unsealed(data.plan, data.salt);
const answers = { abx: [], mushra: [] };
const test = document.getElementById("test");
const find = (name) => test.querySelector(name);
let sounds = null;

function button(text, click, kind = "") {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.className = kind;
  made.addEventListener("click", click);
  return made;
}

// Sounds by their number, with a button for each. `onheard` gets the set of those that were played.
function present(numbers, labels, onheard) {
  sounds?.stop();
  sounds = new Sounds(numbers.map((number) => data.sounds[number]));
  const heard = new Set();
  const buttons = labels.map((label, i) =>
    button(label, () => {
      sounds.choose(i);
      if (sounds.running) show();
      else sounds.play();
    }, "source"),
  );
  const show = () => {
    buttons.forEach((each, i) => each.setAttribute("aria-pressed", i === sounds.chosen));
    find(".play").textContent = sounds.running ? "Pause" : "Play";
    if (sounds.running) heard.add(sounds.chosen);
    onheard?.(heard);
  };
  sounds.onstart = sounds.onstop = show;
  show();
  return buttons;
}

// A question with its answers, which wait until all of its sounds were played.
function ask(question, progress, numbers, labels, parts) {
  find(".question").textContent = question;
  find(".progress").textContent = progress;
  find(".answers").replaceChildren(...parts);
  const buttons = present(numbers, labels, (heard) => {
    const missing = labels.filter((_, i) => !heard.has(i));
    find(".missing").textContent = missing.length ? `Play first: ${missing.join(", ")}` : "";
    find(".answers").disabled = missing.length > 0;
  });
  find(".sources").replaceChildren(...buttons);
}

function abx(number) {
  if (number === plan.abx.length) return mushra(0);
  const { sounds: pair, song, run, target } = plan.abx[number];
  const x = target ? pair[0] : pair[1];
  const answer = (isTarget) => () => {
    answers.abx.push({
      run: plan.runs[run].key,
      song: plan.songs[song],
      x: target ? "target" : "model",
      answer: isTarget ? "target" : "model",
      right: isTarget === target,
    });
    abx(number + 1);
  };
  const parts = [button("X is A, the target", answer(true)), " ", button("X is B, the model", answer(false))];
  const progress = `Trial ${number + 1} of ${plan.abx.length}`;
  ask("Is X the target or the model?", progress, [...pair, x], ["A: target", "B: model", "X"], parts);
}

function mushra(number) {
  if (number === plan.mushra.length) return end();
  const { sounds: items, reference, song, items: names } = plan.mushra[number];
  const labels = ["Reference", ...items.map((_, i) => `Sound ${i + 1}`)];
  const progress = `Screen ${number + 1} of ${plan.mushra.length}`;
  const unrated = new Set(items.keys());
  const rows = items.map((_, i) => {
    const row = document.createElement("label");
    row.className = "rating";
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: 100, value: 50 });
    const shown = document.createElement("output");
    shown.textContent = "-";
    slider.addEventListener("input", () => {
      shown.textContent = slider.value;
      unrated.delete(i);
      next.disabled = unrated.size > 0;
    });
    row.append(labels[i + 1], slider, shown);
    return row;
  });
  const scale = document.createElement("p");
  scale.className = "quiet";
  scale.textContent = "0 to 20 bad, to 40 poor, to 60 fair, to 80 good, to 100 excellent (no difference)";
  const next = button("Next", () => {
    const ratings = rows.map((row) => Number(row.querySelector("input").value));
    const keyOf = (name) => plan.runs[name]?.key ?? name;
    answers.mushra.push({
      song: plan.songs[song],
      ratings: Object.fromEntries(names.map((name, i) => [keyOf(name), ratings[i]])),
    });
    mushra(number + 1);
  });
  next.disabled = true;
  const question = "How close to the reference is each sound? One of them is the reference.";
  ask(question, progress, [reference, ...items], labels, [scale, ...rows, next]);
}

// Probability of at least so many right answers by guessing.
function pValue(right, trials) {
  let term = 0.5 ** trials;
  let sum = 0;
  for (let k = 0; k <= trials; k++) {
    if (k >= right) sum += term;
    term *= (trials - k) / (k + 1);
  }
  return trials ? Math.min(1, sum) : 1;
}

function meanAndInterval(ratings) {
  const mean = ratings.reduce((a, b) => a + b, 0) / ratings.length;
  if (ratings.length < 2) return [mean, null];
  const variance = ratings.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (ratings.length - 1);
  return [mean, plan.quantile * Math.sqrt(variance / ratings.length)];
}

function summary() {
  const ratingsOf = (key) => answers.mushra.map(({ ratings }) => ratings[key]);
  const rated = (key) => {
    const [mean, half] = meanAndInterval(ratingsOf(key));
    return { mushra: mean, mushra_interval: half };
  };
  const runs = plan.runs.map(({ key, ...run }) => {
    const trials = answers.abx.filter((trial) => trial.run === key);
    const right = trials.filter((trial) => trial.right).length;
    return { ...run, key, trials: trials.length, right, p: pValue(right, trials.length), ...rated(key) };
  });
  const controls = ["reference", "anchor"].map((key) => ({ name: `(hidden ${key})`, key, ...rated(key) }));
  return [...runs, ...controls];
}

const percent = (p) => `${Number((100 * p).toPrecision(2))} %`;
const ratingOf = ({ mushra, mushra_interval: half }) =>
  half === null ? mushra.toFixed(0) : `${mushra.toFixed(0)} ± ${half.toFixed(0)}`;

// How far the first is ahead of the second on the same songs, its interval, and whether that is sure: a paired t-test.
function lead(best, second) {
  const ahead = answers.mushra.map(({ ratings }) => ratings[best.key] - ratings[second.key]);
  const [mean, half] = meanAndInterval(ahead);
  const points = half === null ? "" : `, ${ratingOf({ mushra: mean, mushra_interval: half })} less song by song`;
  return { points, sure: half !== null && mean > half };
}

// Who won and by how much, if that is sure; the best run comes first.
function verdict([best, second]) {
  const word = ["bad", "poor", "fair", "good", "excellent"][Math.min(4, Math.floor(best.mushra / 20))];
  const own = `${best.what} sounds ${word}: rated ${best.mushra.toFixed(0)} of 100`;
  if (!second) return `${own}.`;
  const { points, sure } = lead(best, second);
  const next = `the next got ${second.mushra.toFixed(0)}${points}`;
  return sure ? `Best: ${own}; ${next}.` : `First, but too close to be sure: ${own}; ${next}.`;
}

function told({ trials, right, p }, several) {
  if (!trials) return "";
  const count = `you were right ${right} times of ${trials}`;
  const best = several ? "the best" : "it";
  if (p < 0.05) return `You can tell ${best} from the target: ${count}; guessing gives so many in ${percent(p)} of tests.`;
  return `You cannot tell ${best} from the target: ${count}, and guessing gives so many in ${percent(p)} of tests.`;
}

// How far the ratings can be trusted, by those of the hidden reference and anchor.
function trust([reference, anchor]) {
  const given = `Unknowingly you rated the target itself ${ratingOf(reference)} and a muffled copy ${ratingOf(anchor)}`;
  const sound = reference.mushra >= 90 && anchor.mushra < reference.mushra;
  return `${given}: ${sound ? "the ratings can be trusted" : "100 and far less were right, so these ratings say little"}.`;
}

function resultTable(runs, controls) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  const headings = ["", "run", "rating, 0 to 100 (± 95 %)", "told from the target", "chance to guess so many"];
  for (const text of [...headings, "measured error (ESR)", "folder"]) {
    const cell = document.createElement("th");
    cell.textContent = text;
    head.append(cell);
  }
  runs.forEach((run, i) => {
    const { trials, right, p } = run;
    const abx = trials ? [`${p < 0.05 ? "yes" : "no"}, right ${right} of ${trials}`, percent(p)] : ["not asked", ""];
    const row = table.insertRow();
    if (i === 0 && runs.length > 1 && lead(runs[0], runs[1]).sure) row.className = "chosen";
    const cells = [`${i + 1}.`, run.what, ratingOf(run), ...abx, `${run.esr_db.toFixed(0)} dB`, run.name];
    for (const text of cells) row.insertCell().textContent = text;
    row.lastChild.className = "name";
  });
  for (const control of controls) {
    const row = table.insertRow();
    row.className = "quiet";
    for (const text of ["", control.name, ratingOf(control), "", "", "", ""]) row.insertCell().textContent = text;
  }
  return table;
}

function end() {
  const rows = summary();
  const runs = rows.slice(0, plan.runs.length).sort((a, b) => b.mushra - a.mushra || a.right - b.right);
  const controls = rows.slice(plan.runs.length);
  document.querySelector(".verdict").textContent = verdict(runs);
  document.querySelector(".told").textContent = told(runs[0], runs.length > 1);
  document.querySelector(".trust").textContent = trust(controls);
  document.querySelector(".result").replaceChildren(resultTable(runs, controls));
  showNamed(runs);
  const { format, seed, runs: tested } = plan;
  const result = { format, seed, runs: tested, ...answers, summary: rows };
  const save = document.querySelector(".save");
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  save.download = `listening-${stamp}.json`;
  save.href = URL.createObjectURL(new Blob([JSON.stringify(result, null, 2)], { type: "application/json" }));
  test.hidden = true;
  document.getElementById("end").hidden = false;
}

// Players of the first screen's sounds by what they are.
function showNamed(runs) {
  const { song, reference, items, sounds: numbers } = plan.mushra[0];
  const numberOf = (run) => numbers[items.findIndex((item) => plan.runs[item]?.key === run.key)];
  const names = ["target", ...runs.map(({ what }) => what)];
  const buttons = present([reference, ...runs.map(numberOf)], names);
  document.querySelector(".named").replaceChildren(button("Stop", () => sounds.stop()), ...buttons);
  document.querySelector(".heard").textContent = `${plan.songs[song]}: a click changes at the same moment.`;
}

find(".play").addEventListener("click", () => (sounds.running ? sounds.stop() : sounds.play()));
find(".again").addEventListener("click", () => sounds.play(0));
document.getElementById("start").addEventListener("click", () => {
  document.getElementById("begin").hidden = true;
  test.hidden = false;
  abx(0);
});
