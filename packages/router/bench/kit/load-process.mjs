// One request at a time on each connection, one after the other, for as long as it lasts.
// Connections are opened first and kept, so that no handshake is in what is measured.
import { AnswerReader } from "./answer-reader.mjs";
import { openSocket } from "./client-socket.mjs";
import { differentRequest, sameRequest, tokenOf } from "./messages.mjs";
import { serve } from "./part.mjs";

let connections = [];
let run = { until: 0, left: 0 };
let count = 0;
const salt = process.pid * 7_919;

async function openConnection({ port, ca, different }) {
  const reader = new AnswerReader();
  const one = { waiting: false, sentAt: 0, token: "", socket: undefined, send };
  function send() {
    one.waiting = true;
    one.sentAt = performance.now();
    if (different) one.socket.write(differentRequest(one.token = tokenOf(count += 1, salt)), "latin1");
    else one.socket.write(sameRequest);
  }
  function read(buffer, length) {
    try { if (!reader.feed(buffer, length)) return; } catch (cause) { run.broken?.(cause); return; }
    if (!one.waiting) return;
    one.waiting = false;
    const now = performance.now();
    run.requests += 1;
    if (reader.status !== 200 || (different && reader.end !== "" && reader.end !== one.token)) run.errors += 1;
    if (run.requests % 7 === 0) run.latencies.push(now - one.sentAt);
    if (now < run.until) one.send();
    else if ((run.left -= 1) === 0) run.done();
  }
  one.socket = await openSocket({ port, ca, read });
  one.socket.on("error", () => undefined);
  one.socket.on("close", () => { if (one.waiting) run.broken?.(new Error("a connection ended in the middle of a request")); });
  return one;
}

function measure({ ms }) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const watch = setTimeout(() => reject(new Error(`${run.left} of ${connections.length} connections got no answer`)), ms + 10_000);
    run = {
      until: started + ms, left: connections.length, requests: 0, errors: 0, latencies: [],
      broken: (cause) => { clearTimeout(watch); reject(cause); },
      done: () => { clearTimeout(watch); resolve({ requests: run.requests, errors: run.errors, ms: performance.now() - started, latencies: run.latencies }); },
    };
    for (const one of connections) {
      if (one.socket.destroyed) { run.broken(new Error("a connection did not last until its next request")); return; }
      one.send();
    }
  });
}

const acts = {
  async open({ connections: wanted, ...how }) { connections = await Promise.all(Array.from({ length: wanted }, () => openConnection(how))); },
  run: measure,
  close() { run = { left: 0 }; for (const { socket } of connections.splice(0)) socket.destroy(); },
};
serve({}, (message) => acts[message.do](message));
