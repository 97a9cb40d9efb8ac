// What the Node scripts share: the records they send, members that can be killed, and how a check is run and reported.
//
// A script registers its checks with check("a sentence", play) and ends with run(client, member): the checks run side
// by side, each prints one line ("ok" or "FAIL"), and the process ends with 1 if any failed. Called with --member, the
// script is a member of a group instead, in a process of its own, which a check may kill.
"use strict";

const { spawn } = require("node:child_process");
const { randomBytes } = require("node:crypto");
const { createInterface } = require("node:readline");

const CHECK_MS = 150_000;
const SIDE_BY_SIDE = 6;
const checks = [];

function check(sentence, play) {
  checks.push({ sentence, play });
}

/** Where the checks play: the cluster's address, and names nobody else uses. */
class Stage {
  constructor(bootstrap) {
    this.bootstrap = bootstrap;
    this.run = randomBytes(4).toString("hex");
  }

  name(what) {
    return `${what}-${this.run}`;
  }
}

/** Records that are hard to keep byte-equal: null and empty keys and values, binary, unicode and empty headers. */
function records(seed, count = 40) {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const edge = [
    [null, null, []],
    ["", "", []],
    ["key", null, [["h", ""]]],
    [null, "value", [["h", "first"], ["\u00fcnicode", "\u20ac"]]],
    [bytes, Buffer.from(bytes).reverse(), [["binary", bytes]]],
    ["large", "farshore".repeat(4096), []],
  ];
  const rest = Array.from({ length: count - edge.length }, (_, i) => [
    `k${i}`,
    randomBytes((seed * 31 + i * 7) % 200),
    i % 3 === 0 ? [["n", `${i}`]] : [],
  ]);
  const buffer = (value) => (value === null ? null : Buffer.from(value));
  return [...edge, ...rest].map(([key, value, headers]) => ({
    key: buffer(key),
    value: buffer(value),
    headers: headers.map(([name, content]) => [name, buffer(content)]),
  }));
}

/** A record as text that can be compared. */
function plain({ key, value, headers }) {
  const hex = (bytes) => (bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString("hex"));
  return JSON.stringify([hex(key), hex(value), headers.map(([name, content]) => [`${name}`, hex(content)])]);
}

/** Fails with both values when they differ. */
function same(found, wanted, what) {
  const [left, right] = [shown(found), shown(wanted)];
  if (left !== right) throw new Error(`${what}: found ${shorten(left)}, wanted ${shorten(right)}`);
}

function shown(value) {
  return JSON.stringify(value, (_, item) => (typeof item === "bigint" ? Number(item) : item)) ?? "undefined";
}

function shorten(text) {
  return text.length <= 300 ? text : `${text.slice(0, 300)}... (${text.length} characters)`;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Calls `condition` until it answers something true, and returns that; `what` is a text or makes one at the end. */
async function until(what, condition, seconds = 40) {
  const deadline = performance.now() + seconds * 1000;
  while (performance.now() < deadline) {
    const answer = await condition();
    if (answer) return answer;
    await pause(20);
  }
  throw new Error(`not within ${seconds} s: ${typeof what === "function" ? what() : what}`);
}

/** Everything an error and the errors in it say. */
function told(error) {
  const inner = [...(error.errors ?? []), error.cause, error.originalError].filter(Boolean);
  return [error.name, error.type, error.apiId, error.message, ...inner.map(told)].filter(Boolean).join(" ");
}

/** Fails unless `call` fails with an error whose text holds `name`. */
async function refused(what, call, name) {
  try {
    await call();
  } catch (error) {
    if (told(error).includes(name)) return;
    throw new Error(`${what}: refused with ${told(error)}, wanted ${name}`);
  }
  throw new Error(`${what}: was accepted, wanted ${name}`);
}

/** A member of a group in a process of its own: this script with --member. */
class Member {
  constructor(stage, group, topic) {
    this.owned = [];
    this.took = [];
    this.errors = [];
    this.process = spawn(process.execPath, [process.argv[1], stage.bootstrap, "--member", group, topic], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.ended = new Promise((done) => this.process.once("exit", done));
    createInterface({ input: this.process.stdout }).on("line", (line) => this.hear(JSON.parse(line)));
  }

  hear({ owned, took, error }) {
    if (owned) this.owned = owned;
    if (took) this.took.push(...took);
    if (error) this.errors.push(error);
  }

  /** Ends the process as a crash does: its connections die, and it says goodbye to nobody. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}

/** What a member's process says to the check; a record is told before it is committed. */
function tell(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

/**
 * Two members share four partitions; one is killed while records come. The other must take over its partitions and go
 * on from what was committed: every acknowledged record is taken by somebody.
 */
async function killOne(stage, topic, write) {
  const group = stage.name(`${topic}-group`);
  const [stays, dies] = [new Member(stage, group, topic), new Member(stage, group, topic)];
  try {
    const state = () => `members own ${shown([stays.owned, dies.owned])}; errors ${shown([stays.errors, dies.errors])}`;
    const shared = () => stays.owned.length === 2 && dies.owned.length === 2;
    await until(() => `both own two partitions: ${state()}`, shared, 30);
    same([...stays.owned, ...dies.owned].sort(), [0, 1, 2, 3], "partitions of both members");
    const wanted = await write(0, 80);
    await until(() => `both took something: ${state()}`, () => stays.took.length > 0 && dies.took.length > 0);
    await dies.kill();
    wanted.push(...(await write(80, 160)));
    await until(() => `the other owns everything: ${state()}`, () => stays.owned.length === 4, 40);
    const missing = () => {
      const taken = new Set([...stays.took, ...dies.took].map(shown));
      return wanted.filter((record) => !taken.has(shown(record)));
    };
    await until(() => `everything is taken, missing ${shorten(shown(missing()))}`, () => missing().length === 0);
    same(stays.errors, [], "errors of the member that stays");
  } finally {
    await Promise.all([stays.kill(), dies.kill()]);
  }
}

async function play(client, stage, { sentence, play: body }) {
  const began = performance.now();
  const late = new Promise((_, fail) => {
    setTimeout(() => fail(new Error(`not finished after ${CHECK_MS / 1000} s`)), CHECK_MS).unref();
  });
  const error = await Promise.race([body(stage), late]).then(() => null, (error) => error);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${error ? "FAIL" : "ok  "} ${client}: ${sentence} (${seconds} s)${error ? `: ${told(error)}` : ""}`);
  return !error;
}

async function playAll(client, bootstrap, only) {
  const stage = new Stage(bootstrap);
  const chosen = checks.filter(({ sentence }) => sentence.includes(only));
  const waiting = [...chosen];
  let passed = 0;
  const player = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      if (await play(client, stage, next)) passed += 1;
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, player));
  console.log(`${client}: ${passed} of ${chosen.length} checks passed`);
  return chosen.length > 0 && passed === chosen.length;
}

/** Plays every registered check (or those whose sentence holds --only) and ends the process, or is a `member`. */
async function run(client, member) {
  const [bootstrap, option, ...rest] = process.argv.slice(2);
  if (!bootstrap) throw new Error("usage: SCRIPT BOOTSTRAP [--only TEXT | --member GROUP TOPIC]");
  if (option === "--member") {
    process.on("uncaughtException", (error) => tell({ error: told(error) }));
    process.stdin.resume().once("end", () => process.exit(1)); // the check's process is gone
    return member(bootstrap, ...rest);
  }
  const good = await playAll(client, bootstrap, option === "--only" ? rest[0] : "");
  process.exit(good ? 0 : 1); // a client that hangs must not keep the process alive; members end with it
}

module.exports = { check, killOne, plain, records, refused, run, same, tell, until };
