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

// Sounds by their number, with a button for each.
function present(question, progress, numbers, labels) {
  sounds?.stop();
  sounds = new Sounds(numbers.map((number) => data.sounds[number]));
  find(".question").textContent = question;
  find(".progress").textContent = progress;
  const buttons = labels.map((label, i) =>
    button(label, () => {
      sounds.choose(i);
      if (!sounds.running) sounds.play();
      show();
    }, "source"),
  );
  const show = () => {
    buttons.forEach((each, i) => each.setAttribute("aria-pressed", i === sounds.chosen));
    find(".play").textContent = sounds.running ? "Pause" : "Play";
  };
  sounds.onstart = sounds.onstop = show;
  find(".sources").replaceChildren(...buttons);
  find(".answers").replaceChildren();
  show();
}

function abx(number) {
  if (number === plan.abx.length) return mushra(0);
  const { sounds: pair, song, run, target } = plan.abx[number];
  const x = target ? pair[0] : pair[1];
  present("Is X the target or the model?", `Trial ${number + 1} of ${plan.abx.length}`, [...pair, x], [
    "A: target",
    "B: model",
    "X",
  ]);
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
  find(".answers").replaceChildren(button("X is A", answer(true)), " ", button("X is B", answer(false)));
}

function mushra(number) {
  if (number === plan.mushra.length) return end();
  const { sounds: items, reference, song, items: names } = plan.mushra[number];
  const labels = ["Reference", ...items.map((_, i) => `Sound ${i + 1}`)];
  const progress = `Screen ${number + 1} of ${plan.mushra.length}`;
  present("How close to the reference is each sound? One of them is the reference.", progress, [reference, ...items], labels);
  const rows = items.map((_, i) => {
    const row = document.createElement("label");
    row.className = "rating";
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: 100, value: 50 });
    const shown = document.createElement("output");
    shown.textContent = "50";
    slider.addEventListener("input", () => (shown.textContent = slider.value));
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
  find(".answers").replaceChildren(scale, ...rows, next);
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
  const runs = plan.runs.map(({ key, name }) => {
    const trials = answers.abx.filter((trial) => trial.run === key);
    const right = trials.filter((trial) => trial.right).length;
    return { name, key, trials: trials.length, right, p: pValue(right, trials.length), ...rated(key) };
  });
  const controls = ["reference", "anchor"].map((key) => ({ name: `(hidden ${key})`, key, ...rated(key) }));
  return [...runs, ...controls];
}

function end() {
  sounds?.stop();
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of ["run", "ABX right", "p, if guessed", "heard a difference?", "MUSHRA, 95 %"]) {
    const cell = document.createElement("th");
    cell.textContent = text;
    head.append(cell);
  }
  const rows = summary();
  for (const { name, trials, right, p, mushra, mushra_interval: half } of rows) {
    const row = table.insertRow();
    const told = trials ? [`${right} of ${trials}`, p.toPrecision(2), p < 0.05 ? "yes" : "not shown"] : ["", "", ""];
    const rating = half === null ? mushra.toFixed(0) : `${mushra.toFixed(0)} ± ${half.toFixed(0)}`;
    for (const text of [name, ...told, rating]) row.insertCell().textContent = text;
  }
  document.querySelector(".result").replaceChildren(table);
  const { format, seed, runs } = plan;
  const result = { format, seed, runs, ...answers, summary: rows };
  const save = document.querySelector(".save");
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  save.download = `listening-${stamp}.json`;
  save.href = URL.createObjectURL(new Blob([JSON.stringify(result, null, 2)], { type: "application/json" }));
  test.hidden = true;
  document.getElementById("end").hidden = false;
}

find(".play").addEventListener("click", () => (sounds.running ? sounds.stop() : sounds.play()));
find(".again").addEventListener("click", () => sounds.play(0));
document.getElementById("start").addEventListener("click", () => {
  document.getElementById("begin").hidden = true;
  test.hidden = false;
  abx(0);
});
