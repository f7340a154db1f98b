import { accessSync, constants, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Where distributions put servers that an ordinary user's PATH leaves out. */
function extraFolders() {
  const versions = (() => {
    try {
      return readdirSync("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a));
    } catch {
      return [];
    }
  })();
  return [...versions.map((version) => `/usr/lib/postgresql/${version}/bin`), "/usr/sbin", "/usr/local/sbin", "/sbin"];
}

/** PATH with those folders behind it. */
export function fullPath() {
  const known = (process.env["PATH"] ?? "").split(delimiter).filter(Boolean);
  return [...known, ...extraFolders().filter((folder) => !known.includes(folder))].join(delimiter);
}

/** @param {string} name @returns {string | undefined} the program's file, where it is installed */
export function findProgram(name) {
  for (const folder of fullPath().split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {}
  }
  return undefined;
}

/** The servers some tests run for real, and what brings them. */
export const components = [
  { programs: ["nats-server"], install: "apt-get install nats-server (or https://nats.io)", what: "the bus over NATS" },
  { programs: ["postgres", "initdb"], install: "apt-get install postgresql", what: "the controller's database on a PostgreSQL server" },
];
