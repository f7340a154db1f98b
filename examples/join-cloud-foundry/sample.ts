import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A droplet as any stager makes one: the app in `app/`, and how to start it. */
export async function makeSampleDroplet(dir: string): Promise<string> {
  const work = join(dir, "droplet");
  await mkdir(join(work, "app"), { recursive: true });
  await writeFile(join(work, "app", "server.js"), `
    require("node:http").createServer((request, response) => {
      response.end(process.env.GREETING + ", instance " + process.env.CF_INSTANCE_INDEX + "\\n");
    }).listen(process.env.PORT);
  `);
  await writeFile(join(work, "staging_info.yml"), "start_command: exec node server.js\n");
  const file = join(dir, "sample.tgz");
  execFileSync("tar", ["-czf", file, "-C", work, "."]);
  return file;
}
