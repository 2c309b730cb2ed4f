// The scripted function of the SDK suite on the official JavaScript SDK. The little language is told in the suite's
// package comment.
"use strict";

const fs = require("fs");
const http = require("http");
const path = require("path");
const { StateFun, kafkaEgressMessage, messageBuilder } = require("apache-flink-statefun");

const [port, namespace, topic, specs, marks] = process.argv.slice(2);
const out = "sdks.io/out";

let inFlight = 0;
let peak = 0;

// The SDK has no type of 64 bits: a custom type under the built-in name, its wrapper message by hand.
const longType = StateFun.customType(
  "io.statefun.types/long",
  (value) => {
    const bytes = Buffer.alloc(9, 0x11);
    bytes.writeBigInt64LE(value, 1);
    return value === 0n ? Buffer.alloc(0) : bytes;
  },
  (bytes) => (bytes.length === 0 ? 0n : bytes.readBigInt64LE(1)),
);

// 1 is the first deployment, 2 the one that adds, drops and changes.
function valueSpecs(deployment) {
  return [
    { name: "text", type: StateFun.stringType() },
    { name: "number", type: StateFun.intType() },
    { name: "ratio", type: StateFun.floatType() },
    { name: "large", type: longType },
    { name: "custom", type: StateFun.jsonType("sdks.types/custom") },
    { name: "written", type: StateFun.stringType(), expireAfterWrite: deployment === "1" ? 4000 : 60000 },
    { name: "called", type: StateFun.stringType(), expireAfterCall: 4000 },
    deployment === "1" ? { name: "flag", type: StateFun.booleanType() } : { name: "fresh", type: StateFun.stringType() },
  ];
}

const parse = { number: Number, flag: (text) => text === "true", ratio: Number, large: BigInt };

function egress(context, value, valueType, typename = out) {
  context.send(kafkaEgressMessage({ typename, topic, key: context.self.id, value, valueType }));
}

function message(context, target, id, script) {
  return messageBuilder({
    typename: target.includes("/") ? target : `${namespace}/${target}`,
    id: id === "self" ? context.self.id : id,
    value: script.replaceAll("+", " ").replaceAll(",", ";"),
  });
}

// Throws the first times that any process sees the token.
function fail(token, times) {
  for (let i = 0; i < times; i++) {
    try {
      fs.closeSync(fs.openSync(path.join(marks, `${token}.${i}`), "wx"));
    } catch (taken) {
      continue;
    }
    throw new Error(`the script fails, ${i + 1} of ${times}`);
  }
}

const commands = {
  set: (context, name, value = "") => {
    context.storage[name] = (parse[name] || String)(value);
  },
  del: (context, name) => {
    context.storage[name] = null;
  },
  get: (context, name) => {
    const value = context.storage[name];
    egress(context, `${name}=${value === null ? "-" : value}`);
  },
  count: (context) => {
    context.storage.number = (context.storage.number || 0) + 1;
    egress(context, `count=${context.storage.number}`);
  },
  send: (context, ...words) => context.send(message(context, ...words)),
  after: (context, ms, token, ...words) =>
    context.sendAfter(Number(ms), message(context, ...words), token === "-" ? undefined : token),
  cancel: (context, token) => context.cancelDelayedMessage(token),
  ping: (context, n) => {
    egress(context, `ping ${n}`);
    if (n > 0) {
      context.send(message(context, context.caller.typename, context.caller.id, `ping+${n - 1}`));
    }
  },
  ring: (context, targets) => {
    egress(context, "ring");
    const [next, ...rest] = targets.split(":");
    if (next) {
      context.send(message(context, `${next}/script`, "self", `ring+${rest.join(":")}`));
    }
  },
  egress: (context, text) => egress(context, text),
  typed: (context, n) => egress(context, Number(n), StateFun.intType()),
  lost: (context) => egress(context, "lost", undefined, "sdks.io/nowhere"),
  self: (context) => egress(context, `self=${context.self.name}/${context.self.id}`),
  caller: (context) => egress(context, `caller=${context.caller ? `${context.caller.name}/${context.caller.id}` : "none"}`),
  sleep: (context, ms) => new Promise((done) => setTimeout(done, Number(ms))),
  peak: (context) => egress(context, `peak=${peak}`),
  fail: (context, token, times) => fail(token, Number(times)),
  throw: () => {
    throw new Error("the script throws");
  },
};

async function invoke(context, arriving) {
  peak = Math.max(peak, ++inFlight);
  try {
    for (const command of arriving.asString().split(";")) {
      const [name, ...words] = command.split(" ");
      await commands[name](context, ...words);
    }
  } finally {
    inFlight--;
  }
}

const statefun = new StateFun();
for (const name of ["script", "other"]) {
  statefun.bind({ typename: `${namespace}/${name}`, fn: invoke, specs: valueSpecs(specs) });
}
http.createServer(statefun.handler()).listen(Number(port), "127.0.0.1");
