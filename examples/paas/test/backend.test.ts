import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDea, linuxBackend, MiB, probeLinux } from "@opencf/dea";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chooseBackend, leaveOther } from "../backend.ts";
import { silentLogger } from "../controller/api/ports.ts";
import { writeDroplet } from "../../../packages/dea/test/fixtures/droplet.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), "opencf-backend-test-")); });
afterAll(() => rm(folder, { recursive: true, force: true }));

test("process by name", async () => expect(await chooseBackend("process")).toMatchObject({ name: "process", why: "asked for with --backend process", backend: { name: "process" } }));

test.skipIf(!host.able)(`auto takes linux where it works${host.able ? "" : ` (this machine lacks ${lacks})`}`, async () => {
  expect(await chooseBackend("auto")).toMatchObject({ name: "linux", backend: { name: "linux" } });
  expect(await chooseBackend("linux")).toMatchObject({ name: "linux", why: "asked for with --backend linux" });
}, 60_000);

test.skipIf(!host.able)("what worked at the start before is not tried again", async () => {
  let made = 0;
  const linux = () => {
    made += 1;
    return linuxBackend();
  };
  expect(await chooseBackend("auto", { linux, before: "linux" })).toMatchObject({ name: "linux" });
  expect(made).toBe(1);
  await chooseBackend("auto", { linux, before: "process" });
  expect(made).toBe(3);
}, 60_000);

test.skipIf(process.getuid?.() === 0)("auto as an ordinary user: processes, and the reason; linux by name is refused with what is missing (skipped as root)", async () => {
  expect(await chooseBackend("auto")).toMatchObject({ name: "process", why: "the linux backend needs root" });
  await expect(chooseBackend("linux")).rejects.toMatchObject({ code: "DEA_UNSUPPORTED" });
}, 60_000);

test.skipIf(process.getuid?.() !== 0)("auto takes processes where the linux backend cannot be had, and says why (needs root)", async () => {
  const linux = () => linuxBackend({ runtime: "/no/such/runc" });
  const choice = await chooseBackend("auto", { linux });
  expect(choice).toMatchObject({ name: "process", backend: { name: "process" } });
  expect(choice.why).toMatch(/the linux backend cannot work here: .*oci runtime/);
  expect(await chooseBackend("auto", { linux, before: "linux" })).toMatchObject({ name: "process" });
  await expect(chooseBackend("linux", { linux })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED" });
}, 60_000);

test("another backend than before: what the one before left running is stopped, and the choice is noted", { timeout: 60_000 }, async () => {
  const dataDir = join(folder, "dea");
  const droplet = await writeDroplet(join(folder, "app.tgz"), {}, "exec sleep 1000");
  await leaveOther(dataDir, { name: "process", why: "" }, silentLogger);
  const dea = await createDea({ dataDir, onClose: "keep", memoryBytes: 256 * MiB });
  const instance = await dea.start({ droplet, memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" } });
  await instance.ready;
  await dea.close();
  await leaveOther(dataDir, { name: "process", why: "" }, silentLogger);
  const again = await createDea({ dataDir, onClose: "keep", memoryBytes: 256 * MiB });
  expect(again.resumed.adopted).toHaveLength(1);
  await again.close();
  await leaveOther(dataDir, { name: "linux", why: "" }, silentLogger);
  expect(await readFile(join(dataDir, "backend"), "utf8")).toBe("linux\n");
  await rm(join(dataDir, "backend"));
  const last = await createDea({ dataDir, memoryBytes: 256 * MiB });
  expect(last.resumed.adopted).toHaveLength(0);
  await last.close();
});
