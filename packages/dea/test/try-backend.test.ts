import { expect, test } from "vitest";
import { DeaError, linuxBackend, probeLinux, processBackend, tryBackend } from "../src/index.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

test("a backend that works is left as if nothing had been", async () => {
  await tryBackend(processBackend());
  await tryBackend(processBackend(), { argv: ["/bin/sh", "-c", "echo hello"] });
});

test("a program that fails is told with its status and its words", async () => {
  const trial = tryBackend(processBackend(), { argv: ["/bin/sh", "-c", "echo no way >&2; exit 7"] });
  await expect(trial).rejects.toThrow(DeaError);
  await expect(trial).rejects.toThrow(/ended with 7 in a container: no way/);
});

test("one that hangs is ended when the time is over", async () => {
  await expect(tryBackend(processBackend(), { argv: ["/bin/sh", "-c", "sleep 1000"], timeoutMs: 300 })).rejects.toThrow(/did not end within 300 ms/);
});

test.skipIf(!host.able)(`the linux backend runs a program${host.able ? "" : ` (this machine lacks ${lacks})`}`, async () => {
  await tryBackend(await linuxBackend(), { argv: [process.execPath, "--version"] });
  await expect(tryBackend(await linuxBackend(), { argv: ["/no/such/program"] })).rejects.toMatchObject({ code: "DEA_CONTAINER" });
}, 60_000);
