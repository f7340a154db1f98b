// Feeds consumer.mjs as fast as it reads: bytes made beforehand, no more than a window of them on the way.
import { connect } from "nats";
import { args, registration } from "./kit.mjs";

const { url, messages } = args();
const count = Number(messages);
const connection = await connect({ servers: url });
let seen = 0;
let wake = () => undefined;
connection.subscribe("bench.seen", {
  callback: (_, message) => {
    seen = Number(message.string());
    wake();
  },
});
await connection.flush();
const encoder = new TextEncoder();
const payloads = Array.from({ length: 500 }, (_, n) => encoder.encode(JSON.stringify(registration(n))));
for (let sent = 0; sent < count; ) {
  for (const end = Math.min(count, sent + 500); sent < end; sent++) connection.publish("router.register", payloads[sent % 500]);
  await new Promise(setImmediate);
  while (sent - seen > 20_000) await new Promise((done) => (wake = done));
}
await connection.flush();
await connection.close();
