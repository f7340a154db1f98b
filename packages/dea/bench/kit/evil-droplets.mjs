// Droplets that are not what they say, or that want out while they are unpacked.
import { createWriteStream, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";

async function archive(path, entries) {
  const tar = pack();
  const written = pipeline(tar, createGzip(), createWriteStream(path));
  for (const { body = "", ...header } of entries) tar.entry(header, header.type === undefined || header.type === "file" ? body : undefined);
  tar.finalize();
  await written;
  return path;
}

/** @returns `{ name, droplet, held(exit) }` each */
export async function evilDroplets(dir) {
  const marker = join(dir, "escaped");
  writeFileSync(join(dir, "victim"), "untouched");
  const refused = (exit) => String(exit.reason).startsWith("droplet") && !existsSync(marker);
  const make = (name, entries) => archive(join(dir, `${name}.tgz`), entries);
  return [
    { name: "a droplet that is not what its digest says", droplet: { path: await make("digest", [{ name: "app/a", body: "x" }]), sha256: "0".repeat(64) }, held: refused },
    { name: "a tar with ../", droplet: await make("dots", [{ name: `../../../../../../../../..${marker}`, body: "x" }]), held: refused },
    { name: "a tar with a link and a file through it", droplet: await make("through", [{ name: "app/out", type: "symlink", linkname: dir }, { name: "app/out/escaped", body: "x" }]), held: refused },
    { name: "a tar with a hard link to a file of the host", droplet: await make("hard", [{ name: "app/hard", type: "link", linkname: "/etc/shadow" }]), held: refused },
    { name: "a tar with devices", droplet: await make("device", [{ name: "app/mem", type: "character-device", devmajor: 1, devminor: 1 }]), held: refused },
  ];
}
