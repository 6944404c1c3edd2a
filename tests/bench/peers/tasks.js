// tests/bench/tasks.lua for Node's promises; an await of nothing gives way.
const fs = require("fs");

const count = Number(process.env.TASKS);
const seconds = Number(process.env.SECONDS || 2);
const rounds = Number(process.env.ROUNDS || 0);
let alive = 0, asleep = 0;

const resident = () => Number(/VmRSS:\s*(\d+)/.exec(fs.readFileSync("/proc/self/status"))[1]);
const sleep = () => new Promise((wake) => setTimeout(wake, seconds * 1000));
const before = resident();

async function sleeper() {
  alive++;
  await sleep();
  if (++asleep === count) {
    console.log("alive", alive);
    console.log("kilobytes", resident() - before);
  }
  await sleep();
  alive--;
}

async function yielder() {
  for (let i = 0; i < rounds; i++) await null;
}

const work = process.env.MODE === "sleep" ? sleeper : yielder;
const start = performance.now();
Promise.all(Array.from({length: count}, work))
  .then(() => console.log("seconds", (performance.now() - start) / 1000));
