import { connect } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type Instance, type LogLine, MiB } from "../src/index.ts";
import { createLogBuffer } from "../src/instance/log-buffer.ts";
import { openReachServer, type ReachServer } from "../src/reach.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

const all = async (lines: AsyncIterable<LogLine>): Promise<LogLine[]> => {
  const got: LogLine[] = [];
  for await (const line of lines) got.push(line);
  return got;
};

describe("a reader that comes back with the last number it saw", () => {
  const filled = (count: number, options: { maxLines?: number; firstSequence?: number } = {}) => {
    const buffer = createLogBuffer({ now: Date.now, maxLines: 10, ...options });
    for (let at = 0; at < count; at++) buffer.append("stdout", `line ${at}`);
    return buffer;
  };
  test.each([
    ["goes on", 8, { after: 4 }, ["5:line 5", "6:line 6", "7:line 7"]],
    ["has seen all", 8, { after: 7 }, []],
    ["has seen none", 3, { after: -1 }, ["0:line 0", "1:line 1", "2:line 2"]],
    ["was away too long", 25, { after: 4 }, ["14:10 log lines dropped: they are older than what is kept", ...Array.from({ length: 10 }, (_, at) => `${15 + at}:line ${15 + at}`)]],
    ["was away one line too long", 12, { after: 0 }, ["1:1 log lines dropped: they are older than what is kept", ...Array.from({ length: 10 }, (_, at) => `${2 + at}:line ${2 + at}`)]],
    ["comes from the future", 3, { after: 1_000 }, []],
  ])("%s", async (_title, count, read, expected) => {
    const lines = await all(filled(count).read({ ...read, follow: false }));
    expect(lines.map(({ sequence, text }) => `${sequence}:${text}`)).toEqual(expected);
  });
  test("from before a restart: the gap is said, and the number it carries leads on", async () => {
    const buffer = filled(3, { firstSequence: 2 ** 40 });
    const lines = await all(buffer.read({ after: 17, follow: false }));
    expect(lines[0]).toMatchObject({ stream: "platform", sequence: 2 ** 40 - 1, text: "log lines dropped: those from before the executor was restarted are not kept" });
    expect(await all(buffer.read({ after: lines[0]?.sequence as number, follow: false }))).toHaveLength(3);
  });
  test("what a slow reader lost is said with a number behind which nothing is missing", async () => {
    const buffer = createLogBuffer({ now: Date.now, maxLines: 5 });
    buffer.append("stdout", "first");
    const reading = buffer.read();
    expect((await reading.next()).value).toMatchObject({ sequence: 0 });
    for (let at = 1; at <= 20; at++) buffer.append("stdout", `line ${at}`);
    const gap = (await reading.next()).value as LogLine;
    expect(gap).toMatchObject({ stream: "platform", text: "15 log lines dropped: the reader was too slow", sequence: 15 });
    expect(buffer.counts()).toMatchObject({ lines: 21, dropped: 15 });
    expect((await all(buffer.read({ after: gap.sequence, follow: false }))).map(({ sequence }) => sequence)).toEqual([16, 17, 18, 19, 20]);
    await reading.return();
  });
  test("none lost, none twice, however often it leaves and comes (property)", async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ write: fc.nat(12), read: fc.nat(8) }), { maxLength: 20 }), async (steps) => {
      const buffer = createLogBuffer({ now: Date.now, maxLines: 10 });
      let written = 0;
      let after = -1;
      const seen: number[] = [];
      let dropped = 0;
      for (const { write, read } of steps) {
        for (let at = 0; at < write; at++) buffer.append("stdout", String(written++));
        let left = read;
        for await (const line of buffer.read({ after, follow: false })) {
          if (left-- === 0) break;
          after = line.sequence;
          if (line.stream === "platform") dropped += Number(/^\d+/.exec(line.text)?.[0]);
          else seen.push(Number(line.text));
        }
      }
      for await (const line of buffer.read({ after, follow: false })) {
        if (line.stream === "platform") dropped += Number(/^\d+/.exec(line.text)?.[0]);
        else seen.push(Number(line.text));
      }
      expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
      expect(seen.length + dropped).toBe(written);
    }));
  });
});

describe("lines over a signed link", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let dea: Dea;
  let reach: ReachServer;
  let app: Instance;
  beforeAll(async () => {
    folder = await temporaryFolder();
    dea = await createDea({ dataDir: join(folder.path, "dea"), memoryBytes: 1_024 * MiB });
    reach = await openReachServer(dea);
    const droplet = await writeDroplet(join(folder.path, "d.tgz"), {});
    app = await dea.start({ droplet, command: "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done", memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100 });
    await app.ready;
    await until(() => app.metrics !== undefined && app.state === "RUNNING");
  }, 60_000);
  afterAll(async () => {
    await reach[Symbol.asyncDispose]();
    await dea.close();
    await folder[Symbol.asyncDispose]();
  }, 60_000);

  interface Told { sequence: number; stream: string; text: string; timestamp_ns: string }
  /** Reads some lines and leaves. */
  const readSome = async (more: string, count: number): Promise<Told[]> => {
    const response = await fetch(`${reach.logsLink(app)}&follow=1${more}`);
    let text = "";
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(piece).toString();
      if (text.split("\n").length > count) break;
    }
    return text.split("\n").slice(0, count).map((line) => JSON.parse(line) as Told);
  };

  test("a reader that leaves and comes back five times has every line once", async () => {
    const got: Told[] = [];
    for (let turn = 0; turn < 5; turn++) got.push(...(await readSome(got.length === 0 ? "" : `&after=${got.at(-1)?.sequence}`, 5)));
    expect(got.map(({ sequence }) => sequence)).toEqual(got.map((_, at) => (got[0]?.sequence ?? 0) + at));
    const numbers = got.filter(({ stream }) => stream === "stdout").map(({ text }) => Number(text.split(" ")[1]));
    expect(numbers).toEqual(numbers.map((_, at) => (numbers[0] ?? 0) + at));
    expect(got[0]?.timestamp_ns).toMatch(/^\d{19}$/);
  }, 30_000);

  test("as events: their ids are the numbers, and Last-Event-ID goes on", async () => {
    const response = await fetch(reach.logsLink(app), { headers: { accept: "text/event-stream", "last-event-id": "1" } });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    let text = "";
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(piece).toString();
      if (text.includes("\n\nid: 3\n")) break;
    }
    expect(text).toMatch(/^id: 2\ndata: \{"sequence":2,.*\}\n\nid: 3\n/);
  }, 30_000);

  test("a reader who never reads does not hold up the app", async () => {
    const droplet = join(folder.path, "d.tgz");
    const chatty = await dea.start({ droplet, command: `sleep 1; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo "a line that is long enough to fill the buffers of a socket soon, number $i"; done; echo the end`, memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100 });
    const stuck = connect(reach.port, reach.host);
    const link = new URL(reach.logsLink(chatty));
    stuck.write(`GET ${link.pathname}${link.search}&follow=1 HTTP/1.1\r\nhost: x\r\n\r\n`);
    stuck.pause();
    const exit = await chatty.exited;
    expect(exit).toMatchObject({ reason: "exit:0" });
    expect(exit.logTail.at(-1)).toBe("the end");
    stuck.destroy();
  }, 60_000);

  test("only what is there, only the last ones; and who has no link", async () => {
    const tail = await (await fetch(`${reach.logsLink(app)}&tail=3`)).text();
    expect(tail.trim().split("\n")).toHaveLength(3);
    expect((await fetch(reach.logsLink(app).replace(/hmac=..../, "hmac=0000"))).status).toBe(401);
    expect((await fetch(reach.logsLink({ id: "0".repeat(32) }))).status).toBe(404);
  }, 30_000);
});
