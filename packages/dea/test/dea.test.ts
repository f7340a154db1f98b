import { join } from "node:path";
import { expect, test } from "vitest";
import { createDea, MiB } from "../src/index.ts";
import { temporaryFolder, webServer, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

test("starts a droplet, serves, logs, stops", async () => {
  await using folder = await temporaryFolder();
  const droplet = await writeDroplet(join(folder.path, "hello.tgz"), { "server.js": webServer }, "exec node server.js");
  await using dea = await createDea({ dataDir: join(folder.path, "dea") });
  const hello = await dea.start({ droplet, memoryBytes: 256 * MiB, env: { GREETING: "you" }, healthCheck: { type: "http" } });
  await hello.ready;
  const answer = await fetch(`http://${hello.address.host}:${hello.address.port}/x`);
  expect(await answer.text()).toBe("hello you");
  expect(hello.state).toBe("RUNNING");
  // Processes are looked at once a second; the first look may have met the shell before the app.
  const stats = await until(async () => {
    const now = await hello.stats();
    return now.memoryBytes > 10 * MiB ? now : undefined;
  });
  expect(stats.processes).toBe(1);
  const texts: string[] = [];
  for await (const line of hello.logs()) {
    texts.push(line.text);
    if (line.text === "GET /x") break;
  }
  const exit = await hello.stop({ graceMs: 5_000 });
  expect(exit.reason).toBe("stopped");
  expect(hello.state).toBe("STOPPED");
  await expect(fetch(`http://${hello.address.host}:${hello.address.port}/`)).rejects.toThrow();
});
