// This router, with either engine, its access log and its numbers on.
import { join } from "node:path";

export const engines = ["native", "undici"];

/** @param module see kit/bundle.mjs; @param nodeArgs of its process, e.g. `--expose-gc`. */
export async function startOpencf({ parts, module, engine, backend, certificate, nodeArgs }) {
  const part = await parts.node(new URL("./opencf-process.mjs", import.meta.url), {
    measured: true, nodeArgs, args: { module, engine, backend, certificate, log: join(parts.folder, `opencf-${engine}-${backend}.log`) },
  });
  return { name: `opencf-router (${engine})`, port: part.hello.port, part };
}
