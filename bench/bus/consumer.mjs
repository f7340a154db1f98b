// (d) A consumer as the router is one: `router.register` from another process through a server, decoded, validated, handed over.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { connect } from "nats";
import { args, load } from "./kit.mjs";

const { variant, url, dist, messages } = args();
const count = Number(messages);
const warm = Math.floor(count / 4);
const routes = new Map();
const marks = await connect({ servers: url });

let seen = 0;
let started;
let finish;
const finished = new Promise((done) => (finish = done));
const take = (body) => {
  for (const uri of body.uris) routes.set(uri, body.port);
  if (++seen % 1_000 === 0) marks.publish("bench.seen", String(seen));
  if (seen === warm) started = { ms: performance.now(), cpu: process.cpuUsage() };
  if (seen === warm + count) {
    const { user, system } = process.cpuUsage(started.cpu);
    finish({ perSecond: (count / (performance.now() - started.ms)) * 1e3, perCpuSecond: (count / (user + system)) * 1e6 });
  }
};

let close;
if (variant === "bare") {
  const connection = await connect({ servers: url });
  connection.subscribe("router.register", { callback: (_, message) => take(JSON.parse(message.string())) });
  await connection.flush();
  close = () => connection.close();
} else {
  const { createBus, natsTransport, routerRegister } = await load(dist);
  const bus = await createBus({ transport: natsTransport({ servers: url }) });
  bus.subscribe(routerRegister, ({ body }) => take(body));
  await bus.flush();
  close = () => bus[Symbol.asyncDispose]();
}
const feeder = spawn(process.execPath, [fileURLToPath(new URL("feeder.mjs", import.meta.url)), "--url", url, "--messages", String(warm + count)], { stdio: "inherit" });
const ended = new Promise((done) => feeder.once("exit", done));
console.log(JSON.stringify(await finished));
await ended;
await close();
await marks.close();
