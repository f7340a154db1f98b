import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { platform } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { hasNatsServer } from "../../bus/test/fixtures/nats-server.ts";
import { eventually } from "./fixtures/client.ts";

const run = promisify(execFile);
const folder = fileURLToPath(new URL("../bench/", import.meta.url));
const bench = (name: string, ...args: string[]): Promise<{ stdout: string }> => run(process.execPath, [`${folder}${name}`, ...args]);
const programs = readdirSync(folder).filter((name) => name.endsWith(".bench.mjs"));

interface Report { tables: { rows: Record<string, unknown>[] }[] }

/** Each bench as small as it can be, and a column that says that it measured something. */
const smallest: { what: string; name: string; args: string; column: string }[] = [
  { what: "requests", name: "proxy", args: "--seconds 0.1 --rounds 1 --connections 4 --loads 1 --only native --no-pin", column: "CPU µs/request" },
  { what: "requests over TLS", name: "proxy", args: "--seconds 0.1 --rounds 1 --connections 4 --loads 1 --only undici --requests different --tls --no-pin", column: "CPU µs/request" },
  { what: "waits", name: "latency", args: "--seconds 0.1 --rounds 1 --engine native --rate 50 --no-pin", column: "p99 ms" },
  { what: "bodies", name: "transfer", args: "--mib 2 --rounds 1 --no-pin", column: "MB/s" },
  { what: "idle connections", name: "idle", args: "--connections 20 --websockets 10 --settle 0.1 --no-pin", column: "resident bytes each" },
  { what: "the table", name: "lookup", args: "--most 10", column: "look-up µs" },
  ...(hasNatsServer() ? [{ what: "registrations", name: "registrations", args: "--seconds 0.5 --rounds 1 --apps 50 --beats 200 --burst 100 --rate 50 --no-pin", column: "p99 ms" }] : []),
];

describe("the benches", () => {
  it.each(programs)("%s says how it is called, and refuses what it does not know", async (name) => {
    const { stdout } = await bench(name, "--help");
    expect(stdout).toContain(`node packages/router/bench/${name}`);
    await expect(bench(name, "--no-such-option")).rejects.toMatchObject({ code: 2 });
  });

  // Processor time and memory come from /proc.
  it.skipIf(platform() !== "linux").each(smallest)("$what are measured without an error, and the bench ends by itself ($name)", { timeout: 120_000 }, async ({ name, args, column }) => {
    const { tables } = JSON.parse((await bench(`${name}.bench.mjs`, ...args.split(" "), "--json")).stdout) as Report;
    const rows = tables.flatMap((table) => table.rows);
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) {
      expect(row[column], JSON.stringify(row)).toEqual(expect.any(Number));
      expect(row["errors"] ?? 0).toBe(0);
      expect(row["failed"]).toBeUndefined();
    }
  });

  it.skipIf(platform() !== "linux")("a series of them that is ended goes on with none", { timeout: 60_000 }, async () => {
    const series = spawn(process.execPath, [`${folder}all.mjs`, "--quick", "--only", "idle,lookup"], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    series.stderr.on("data", (chunk: Buffer) => { said += chunk.toString(); });
    const childOf = async (pid: number): Promise<number> => Number((await run("ps", ["-o", "pid=", "--ppid", String(pid)]).catch(() => ({ stdout: "" }))).stdout.trim().split("\n")[0]);
    // Once it has a process of its own, the first bench ends by itself when it is told to.
    await eventually(async () => {
      const first = await childOf(series.pid as number);
      return first > 0 && await childOf(first) > 0;
    }, 20_000);
    series.kill("SIGTERM");
    await once(series, "exit");
    expect(said.split("\n").filter((line) => /^(idle|lookup) --/.test(line))).toHaveLength(1);
  });
});
