// What attackers do, each as the command of an app. `outcome` says what became of it; `held` whether it was kept where it was.
import { attempts } from "./attempts.mjs";

const node = JSON.stringify(process.execPath);
const js = (text) => `exec ${node} -e '${text}'`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const MB = (bytes) => `${Math.round(bytes / 1024 ** 2)} MiB`;

const words = async (instance) => {
  const said = [];
  for await (const { stream, text } of instance.logs({ follow: false })) if (stream !== "platform") said.push(text);
  return said;
};
/** What it said, once there is such a line; on a machine that is busy with other things that takes a while. */
const sayingOf = async (instance, wanted) => {
  for (const end = Date.now() + 30_000; ; await sleep(200)) {
    const said = await words(instance);
    if (instance.exit || said.some((line) => wanted.test(line)) || Date.now() > end) return said;
  }
};
const stats = (instance) => instance.stats().catch(() => undefined);
const ended = (instance) => (instance.exit ? ` · ended: ${instance.exit.reason}` : "");

/** Tries the rows again and again; says at each round how many there were and which got through. */
const tries = (rows) => {
  const script = rows.map(({ script }) => `(${script}) 2>/dev/null`).join("\n");
  return {
    command: `cat >/tmp/tries <<'TRIES'\n${script}\nTRIES\nwhile :; do bash /tmp/tries; echo "round ${rows.length}"; done`,
    async outcome(instance) {
      const said = await sayingOf(instance, /^round|broken/);
      const rounds = said.filter((line) => line.startsWith("round")).length;
      const through = said.filter((line) => line.includes("broken"));
      return { held: through.length === 0 && rounds > 0, text: `${rounds} rounds of ${rows.length} attempts, ${through.length} got through${through.length ? `: ${through[0]}` : ""}` };
    },
  };
};
const about = (pattern) => attempts.filter(({ what, as }) => as === "vcap" || pattern.test(what));

/** `seconds` of it are watched; `start` is what the app is given beside the usual. */
export const attacks = [
  { name: "nothing (the same app, idle)", command: "exec sleep 1000", outcome: async () => ({ held: true, text: "for comparison" }) },
  {
    name: "fork bomb",
    start: { maxProcesses: 512 },
    command: "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done",
    async outcome(instance) {
      const { processes = 0 } = (await stats(instance)) ?? {};
      return { held: processes <= 512, text: `${processes} processes of 512${ended(instance)}` };
    },
  },
  {
    name: "memory hog, with swap",
    command: `while :; do ${node} -e 'const all = []; for (;;) all.push(Buffer.alloc(8e6, 1))'; done`,
    async outcome(instance) {
      for (const end = Date.now() + 5_000; !instance.exit && Date.now() < end; ) await sleep(50);
      return { held: instance.exit?.reason === "oom", text: instance.exit ? `ended: ${instance.exit.reason} (${instance.exit.description})` : "still there" };
    },
  },
  {
    name: "memory thrashing just below the limit",
    command: js(`const fs = require("fs"); const all = Buffer.alloc(70e6, 1); fs.writeFileSync("f", Buffer.alloc(60e6)); for (;;) { for (let i = 0; i < all.length; i += 4096) all[i]++; fs.readFileSync("f").length; }`),
    async outcome(instance) {
      const { memoryBytes = 0 } = (await stats(instance)) ?? {};
      return { held: true, text: `${MB(memoryBytes)} of 128 MiB${ended(instance)}` };
    },
  },
  {
    name: "disk filler",
    command: "while :; do dd if=/dev/zero of=fill bs=1M 2>/dev/null; sync fill; rm fill; done",
    async outcome(instance) {
      const { diskBytes = 0, diskQuotaBytes = 0 } = (await stats(instance)) ?? {};
      return { held: !instance.exit || instance.exit.reason === "disk-quota", text: `${MB(diskBytes)} of ${MB(diskQuotaBytes)}${ended(instance)}` };
    },
  },
  {
    name: "writes that are forced to the disk",
    command: js(`const fs = require("fs"); const fd = fs.openSync("f", "w"); const b = Buffer.alloc(65536, 1); for (let i = 0; ; i++) { fs.writeSync(fd, b, 0, b.length, (i % 200) * 65536); fs.fsyncSync(fd); }`),
    outcome: async (instance) => ({ held: true, text: `runs${ended(instance)}` }),
  },
  {
    name: "inode filler",
    start: { inodes: 20_000 },
    command: js(`const fs = require("fs"); let most = 0; for (;;) { fs.rmSync("many", { recursive: true, force: true }); fs.mkdirSync("many"); let i = 0; try { for (;; i++) fs.writeFileSync("many/" + i, ""); } catch (error) { if (i > most) console.log(error.code, most = i); } }`),
    async outcome(instance) {
      const most = Math.max(0, ...(await sayingOf(instance, /^ENOSPC/)).map((line) => Number(line.split(" ")[1] ?? 0)));
      return { held: most > 0 && most <= 20_000, text: `${most} files of 20000, then ENOSPC${ended(instance)}` };
    },
  },
  {
    name: "1 000 000 log lines a second",
    // One program that writes as fast as it is read.
    command: js(`const b = Buffer.from("a line of a flood, neither short nor long\\n".repeat(1600)); const fs = require("fs"); for (;;) { try { fs.writeSync(1, b); } catch {} }`),
    async outcome(instance, { lines, seconds, dropped }) {
      return { held: !instance.exit, text: `${Math.round(lines / seconds / 1000)} thousand lines a second passed on, ${Math.round(dropped / seconds / 1000)} thousand dropped and counted${ended(instance)}` };
    },
  },
  {
    name: "ignores TERM, forks twice, renames itself",
    command: `perl -MPOSIX -e '$SIG{$_} = "IGNORE" for qw(TERM INT HUP QUIT); for (1..20) { next if fork; setsid(); exit if fork; $0 = "[kworker/0:1-events]"; 1 while 1 } sleep 1000 while 1'`,
    async outcome(instance) {
      const before = (await stats(instance))?.processes ?? 0;
      const from = performance.now();
      await instance.stop({ graceMs: 200 });
      return { held: before > 1, text: `${before} processes, none left ${Math.round(performance.now() - from)} ms after stop with a grace of 200 ms` };
    },
  },
  { name: "reads the host's and others' files, environment, droplets", ...tries(about(/files|environment|passwords|homes|folders|processes|root and|signals/)) },
  { name: "/proc, sysrq, mount, setuid, keys, devices, namespaces", ...tries(about(/proc|sysrq|core_pattern|keys|mount|device|setuid|namespace|chroot|release_agent|limits|rights|programs/)) },
  {
    name: "talks to the executor, others, metadata, low ports",
    command: ({ targets }) => js(`const net = require("net"); const targets = ${JSON.stringify(targets)}; let n = 0; const got = []; const next = () => { const [h, p] = targets[n++ % targets.length]; const s = net.connect(p, h, () => { console.log("broken", h, p); s.destroy(); next(); }).on("error", next); }; for (let i = 0; i < 20; i++) next(); for (const p of [22, 80, 443]) net.createServer().on("error", () => {}).listen(p, () => console.log("broken listens", p)); setInterval(() => console.log("tried", n), 200);`),
    async outcome(instance) {
      const said = await words(instance);
      const through = said.filter((line) => line.startsWith("broken"));
      return { held: through.length === 0 && said.length > 0, text: `${said.findLast((line) => line.startsWith("tried")) ?? "tried 0"} connections, ${through.length} got through${through.length ? `: ${through[0]}` : ""}` };
    },
  },
  {
    name: "flood of datagrams to the host and the neighbour",
    command: ({ targets }) => js(`const dgram = require("dgram"); const s = dgram.createSocket("udp4"); s.on("error", () => {}); const b = Buffer.alloc(1200); const targets = ${JSON.stringify(targets)}; let n = 0; const go = () => { for (let i = 0; i < 100; i++) { const [h] = targets[n % targets.length]; s.send(b, 1024 + (n++ % 60000), h); } setImmediate(go); }; go(); setInterval(() => console.log("sent", n), 500);`),
    outcome: async (instance) => ({ held: !instance.exit, text: `${(await words(instance)).at(-1) ?? "nothing"} datagrams${ended(instance)}` }),
  },
  {
    name: "two busy loops",
    command: "while :; do :; done & while :; do :; done",
    async outcome(instance) {
      await stats(instance);
      await sleep(300);
      return { held: true, text: `${((await stats(instance))?.cpu ?? 0).toFixed(1)} cores` };
    },
  },
];
