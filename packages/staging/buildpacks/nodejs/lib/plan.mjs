// Reads an app and prints, as shell variables, what supply is to do:
//   INSTALL      none | vendored | rebuild | ci | install | yarn
//   DEV          flags that say whether development dependencies come along
//   ONLYPROD     the same for yarn
//   PREBUILD     non-empty: run heroku-prebuild
//   BUILDSCRIPT  heroku-postbuild or build, whichever the app has
//   PRUNE        non-empty: take development dependencies out again
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fail, mapOf, readPackage, scriptOf } from "./package.mjs";
import { satisfies } from "./semver.mjs";

const build = process.argv[2];
const json = readPackage(build);
const has = (name) => existsSync(join(build, name));
const say = (text) => process.stderr.write(`${text}\n`);

checkNode();
const prebuild = scriptOf(json, "heroku-prebuild");
const buildScript = scriptOf(json, "heroku-postbuild") ? "heroku-postbuild" : scriptOf(json, "build") ? "build" : "";
const names = (key) => Object.keys(mapOf(json[key]));
const needed = [...names("dependencies"), ...names("optionalDependencies")];
const development = names("devDependencies");
const wantsDev = (buildScript !== "" || prebuild !== undefined) && development.length > 0;
const installs = ["preinstall", "install", "postinstall", "prepare"].some((name) => scriptOf(json, name));
const workspaces = json.workspaces !== undefined;

const install = chooseInstall();
const out = {
  INSTALL: install,
  DEV: wantsDev ? "--include=dev" : "--omit=dev",
  PREBUILD: prebuild ? "yes" : "",
  BUILDSCRIPT: buildScript,
  ONLYPROD: wantsDev ? "false" : "true",
  PRUNE: wantsDev && ["ci", "install", "yarn"].includes(install) ? "yes" : "",
};
if (["ci", "install", "rebuild"].includes(install) || out.PREBUILD || out.BUILDSCRIPT) {
  if (!onPath("npm")) fail(12, "this app needs npm to be staged, and this machine has none on its PATH; install npm, or send node_modules along");
}
process.stdout.write(Object.entries(out).map(([name, value]) => `${name}='${value}'\n`).join(""));

function checkNode() {
  const wanted = mapOf(json.engines).node ?? (has(".nvmrc") ? readFileSync(join(build, ".nvmrc"), "utf8").trim() : undefined);
  const source = mapOf(json.engines).node === undefined ? ".nvmrc" : "engines.node in package.json";
  say(`       Node ${process.version} of this machine${wanted === undefined ? "" : `, the app asks for ${wanted}`}`);
  if (wanted === undefined) return;
  const fits = typeof wanted === "string" ? satisfies(process.version, wanted) : undefined;
  if (fits === undefined) fail(11, `${source} cannot be understood: ${JSON.stringify(wanted)}; write a range such as ">=20" or "20.x"`);
  if (!fits) fail(11, `this app asks for Node ${wanted} (${source}), and this machine has ${process.version}; change ${source}, or stage on a machine with that Node`);
}

function chooseInstall() {
  if (needed.length === 0 && !wantsDev && !installs && !workspaces) return "none";
  if (has("node_modules")) {
    const missing = [...needed.filter((name) => !names("optionalDependencies").includes(name)), ...(wantsDev ? development : [])].filter((name) => !has(join("node_modules", name, "package.json")));
    if (missing.length === 0) return hasNativeParts() ? "rebuild" : "vendored";
    say(`       node_modules lacks ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? " ..." : ""}`);
  }
  const locks = ["package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"].filter(has);
  if (locks.length > 1) say(`**WARNING** several lock files (${locks.join(", ")}): ${locks[0]} counts; remove the others`);
  if (locks[0] === "package-lock.json" || locks[0] === "npm-shrinkwrap.json") return "ci";
  if (locks[0] === "yarn.lock" && onPath("yarn")) return "yarn";
  if (locks[0] !== undefined) say(`**WARNING** ${locks[0]} is not used: its tool is not installed on this machine; npm chooses the versions`);
  else say("**WARNING** without package-lock.json each build may get other versions; send it along");
  return "install";
}

/** Compiled for the machine of whoever pushed, perhaps. */
function hasNativeParts() {
  const root = join(build, "node_modules");
  const packages = readdirSync(root).flatMap((name) => (name.startsWith("@") ? readdirSync(join(root, name)).map((inner) => join(name, inner)) : [name]));
  return packages.some((name) => existsSync(join(root, name, "binding.gyp")));
}

function onPath(program) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, program)));
}
