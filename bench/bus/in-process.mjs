// (c) Validated messages in a second of one core, published and received by a handler in one process without a server.
import { args, cpuSeconds, load, plainRegistration, pump, registration } from "./kit.mjs";

const { dist, messages, variant } = args();
const count = Number(messages);
const { createBus, memoryTransport, routerRegister } = await load(dist);
const bus = await createBus({ transport: memoryTransport() });
let seen = 0;
let ports = 0;
bus.subscribe(routerRegister, ({ body }) => {
  ports += body.port;
  seen++;
});
// The bodies are there beforehand: to make one is the caller's work, not the bus's.
const bodies = Array.from({ length: 500 }, (_, n) => (variant === "plain" ? plainRegistration : registration)(n));
const bytes = JSON.stringify(bodies[0]).length;
const options = { send: (n) => bus.publish(routerRegister, bodies[n % 500]), seen: () => seen };
await pump(count / 4, options);
const cpu = await cpuSeconds(() => pump(count, options));
console.log(JSON.stringify({ perCpuSecond: count / cpu, bytes, ports }));
await bus[Symbol.asyncDispose]();
