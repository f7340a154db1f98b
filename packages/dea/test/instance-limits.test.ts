import { expect, test } from "vitest";
import { createDea, MiB, processBackend } from "../src/index.ts";

test("dea §1: limits for those who ask for none are checked when the executor starts", async () => {
  const backend = (): ReturnType<typeof processBackend> => processBackend({ isolate: "none" });
  await expect(createDea({ backend: backend(), memoryBytes: MiB, instanceLimits: { bandwidth: { bytesPerSecond: 100_000 } } })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED" });
  await expect(createDea({ backend: backend(), memoryBytes: MiB, instanceLimits: { cpuCores: -1 } })).rejects.toMatchObject({ code: "DEA_INVALID_SPEC" });
});
