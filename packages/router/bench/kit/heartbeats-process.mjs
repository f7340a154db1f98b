// Publishes registrations of many apps, at a rate or at once; by hand, so that the publisher is not what is measured.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { message, publisher } from "./nats.mjs";
import { given, serve } from "./part.mjs";

const socket = await publisher(given().nats);
const made = new Map();

/** As an executor sends it; `app` is its number. */
function heartbeat(subject, app) {
  const key = `${subject} ${app}`;
  let bytes = made.get(key);
  if (bytes === undefined) {
    made.set(key, bytes = Buffer.from(message(subject, {
      host: `10.${(app >> 16) & 255}.${(app >> 8) & 255}.${app & 255}`, port: 61_000 + (app % 1_000), uris: [`app-${app}.example.com`], app: `00000000-0000-4000-8000-${String(app).padStart(12, "0")}`,
      private_instance_id: `instance-${app}`, private_instance_index: "0", tags: { component: "route-emitter", process_type: "web" }, availability_zone: "z1",
    })));
  }
  return bytes;
}

/** Messages of `count` apps from number `from` on, in turn: `total` of them, `perSecond` or as fast as they go. */
async function publish({ subject, from, count, total = count, perSecond = Infinity, prepare = false }) {
  if (prepare) {
    for (let app = 0; app < count; app += 1) heartbeat(subject, from + app);
    return {};
  }
  const begun = performance.now();
  for (let sent = 0; sent < total;) {
    const due = perSecond === Infinity ? total : Math.min(total, Math.floor((performance.now() - begun) / 1_000 * perSecond));
    const pieces = [];
    for (; sent < due && pieces.length < 2_000; sent += 1) pieces.push(heartbeat(subject, from + (sent % count)));
    if (pieces.length > 0 && !socket.write(Buffer.concat(pieces))) await once(socket, "drain");
    else await sleep(perSecond === Infinity ? 0 : 2);
  }
  return { sent: total, ms: performance.now() - begun };
}

serve({}, publish);
