// (b) Time from a question to its answer, one at a time, through a server; asker and answerer are two connections of one process.
import { connect } from "nats";
import { args, load, median } from "./kit.mjs";

const { variant, url, dist, messages } = args();
const count = Number(messages);
const question = (n) => ({ droplet: "d2c5a9a4-6c9a-4f0e-9d0c-0c6f5a1e7b11", index: n % 8, version: "v1" });
const answer = { accepted: true, host: "10.10.17.23", port: 61_001 };

async function opencf() {
  const { createBus, message, natsTransport } = await load(dist);
  const { Type } = await import("@sinclair/typebox");
  const ask = message("bench.ask", Type.Object({ droplet: Type.String(), index: Type.Integer(), version: Type.String() }), {
    reply: Type.Object({ accepted: Type.Boolean(), host: Type.String(), port: Type.Integer() }), about: "A question.", from: "asker", to: "answerer",
  });
  const answerer = await createBus({ transport: natsTransport({ servers: url }) });
  answerer.subscribe(ask, ({ respond }) => respond(answer));
  await answerer.flush();
  const asker = await createBus({ transport: natsTransport({ servers: url }) });
  return { ask: (n) => asker.request(ask, question(n)), close: () => Promise.all([asker[Symbol.asyncDispose](), answerer[Symbol.asyncDispose]()]) };
}

async function bare() {
  const answerer = await connect({ servers: url });
  answerer.subscribe("bench.ask", {
    callback: (_, message) => {
      JSON.parse(message.string());
      message.respond(JSON.stringify(answer));
    },
  });
  await answerer.flush();
  const asker = await connect({ servers: url });
  return { ask: async (n) => JSON.parse((await asker.request("bench.ask", JSON.stringify(question(n)), { timeout: 2_000 })).string()), close: () => Promise.all([asker.close(), answerer.close()]) };
}

const { ask, close } = await (variant === "bare" ? bare : opencf)();
for (let n = 0; n < count / 4; n++) await ask(n);
const tookMicros = [];
for (let n = 0; n < count; n++) {
  const started = performance.now();
  const { accepted } = await ask(n);
  if (!accepted) throw new Error("a wrong answer");
  tookMicros.push((performance.now() - started) * 1e3);
}
console.log(JSON.stringify({ p50Micros: median(tookMicros) }));
await close();
