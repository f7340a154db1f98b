import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makePassword } from "./config.ts";

/** The password of the admin user: the one given, else the one made at the first start and kept in the data folder (readable by its owner only). */
export function adminPassword(dataDir: string, given: string | undefined): string {
  const file = join(dataDir, "admin-password");
  if (given === undefined) {
    const kept = read(file);
    if (kept !== "") return kept;
  }
  const password = given ?? makePassword();
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return password;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}
