// (e) Memory that a subscription takes in which nothing happens: heap after 10 000 of them less heap before. Needs --expose-gc.
import { connect } from "nats";
import { args, load } from "./kit.mjs";

const { variant, url, dist, subscriptions } = args();
const count = Number(subscriptions);
let subscribe;
let close;
if (variant === "bare") {
  const connection = await connect({ servers: url });
  subscribe = (n) => connection.subscribe(`dea.${n}.start`, { callback: () => undefined });
  close = () => connection.close();
} else {
  const { createBus, deaStartInstance, memoryTransport, natsTransport } = await load(dist);
  const bus = await createBus({ transport: variant === "memory" ? memoryTransport() : natsTransport({ servers: url }) });
  subscribe = (n) => bus.subscribe(deaStartInstance, () => undefined, { params: { id: String(n) } });
  close = () => bus[Symbol.asyncDispose]();
}
const heap = async () => {
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await new Promise((done) => setTimeout(done, 20));
  }
  return process.memoryUsage().heapUsed;
};
const kept = [];
for (let n = 0; n < 500; n++) kept.push(subscribe(`warm${n}`));
const before = await heap();
for (let n = 0; n < count; n++) kept.push(subscribe(n));
const after = await heap();
console.log(JSON.stringify({ bytes: (after - before) / count, kept: kept.length }));
await close();
