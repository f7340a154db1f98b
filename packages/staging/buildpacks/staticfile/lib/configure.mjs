// configure BUILD DEPS IDX: the site moves to BUILD/public, the settings go beside the server, boot.sh starts it.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { readAccounts } from "./server/auth.mjs";
import { readStaticfile, settingsOf } from "./staticfile.mjs";

const [build, deps, index] = process.argv.slice(2);
const never = new Set(["Staticfile", "Staticfile.auth", "manifest.yml", ".profile", ".profile.d", "stackato.yml", ".cloudfoundry", "nginx"]);

function fail(text) {
  process.stderr.write(`**ERROR** ${text}\n`);
  process.exit(9);
}

try {
  const text = existsSync(join(build, "Staticfile")) ? readFileSync(join(build, "Staticfile"), "utf8") : "";
  const { root, settings, warnings } = settingsOf(readStaticfile(text));
  const accounts = existsSync(join(build, "Staticfile.auth")) ? readAccounts(readFileSync(join(build, "Staticfile.auth"), "utf8")) : null;
  if (accounts) console.log("       Basic authentication is on (Staticfile.auth)");
  moveSite(root, settings.hostDotFiles);
  for (const name of ["nginx.conf", "mime.types"])
    if (existsSync(join(build, "public", name))) warnings.push(`${name} is for nginx, and this server is not nginx: it is served as a file, not obeyed`);
  for (const warning of warnings) process.stderr.write(`**WARNING** ${warning}\n`);
  const home = join(deps, index, "staticfile");
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "settings.json"), `${JSON.stringify({ ...settings, accounts })}\n`);
  writeFileSync(join(build, "boot.sh"), `#!/bin/sh\nexec node "$DEPS_DIR/${index}/staticfile/server.mjs" "$HOME/public"\n`);
  chmodSync(join(build, "boot.sh"), 0o755);
} catch (error) {
  fail(error.message);
}

function moveSite(root, hostDotFiles) {
  const from = join(build, root);
  if (!existsSync(from)) fail(`the root of Staticfile, ${JSON.stringify(root)}, does not exist`);
  if (!statSync(from).isDirectory()) fail(`the root of Staticfile, ${JSON.stringify(root)}, is a file and must be a folder`);
  if (!`${realpathSync(from)}${sep}`.startsWith(`${realpathSync(build)}${sep}`)) fail(`the root of Staticfile, ${JSON.stringify(root)}, lies outside the app`);
  console.log(`-----> Serving ${root === "." ? "the whole app" : root}`);
  const fresh = mkdtempSync(join(build, ".site-"));
  for (const name of readdirSync(from)) {
    if (never.has(name) || (name.startsWith(".") && !hostDotFiles) || join(from, name) === fresh) continue;
    renameSync(join(from, name), join(fresh, name));
  }
  rmSync(join(build, "public"), { recursive: true, force: true });
  renameSync(fresh, join(build, "public"));
  chmodSync(join(build, "public"), 0o755);
}
