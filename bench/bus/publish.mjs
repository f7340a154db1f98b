// (a) Processor time for a message that is published and received in one process, through a server.
import { connect } from "nats";
import { args, cpuSeconds, load, pump, registration } from "./kit.mjs";

const { variant, url, dist, messages } = args();
const count = Number(messages);
let seen = 0;
let ports = 0;

async function opencf() {
  const { createBus, natsTransport, routerRegister } = await load(dist);
  const bus = await createBus({ transport: natsTransport({ servers: url }) });
  bus.subscribe(routerRegister, ({ body }) => {
    ports += body.port;
    seen++;
  });
  await bus.flush();
  return { send: (n) => bus.publish(routerRegister, registration(n)), close: () => bus[Symbol.asyncDispose]() };
}

async function bare() {
  const connection = await connect({ servers: url });
  connection.subscribe("router.register", {
    callback: (_, message) => {
      ports += JSON.parse(message.string()).port;
      seen++;
    },
  });
  await connection.flush();
  return { send: (n) => connection.publish("router.register", JSON.stringify(registration(n))), close: () => connection.close() };
}

const { send, close } = await (variant === "bare" ? bare : opencf)();
const arrived = () => seen;
await pump(count / 4, { send, seen: arrived });
const startedMs = performance.now();
const cpu = await cpuSeconds(() => pump(count, { send, seen: arrived }));
console.log(JSON.stringify({ cpuMicros: (cpu / count) * 1e6, perSecond: (count / (performance.now() - startedMs)) * 1e3, ports }));
await close();
