import { StagingError, type StagingErrorCode } from "../errors.ts";

/** A name as it may be shown: quoted, short, on one line. */
export const quoteName = (name: string): string => JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);

interface NameRule {
  readonly broken: (name: string) => boolean;
  readonly code: StagingErrorCode;
  readonly advice: string;
}

/** Read from the top; the first broken rule names the fault. */
const rules: readonly NameRule[] = [
  { broken: (name) => name.includes("\0"), code: "STAGING_PACKAGE_NAME_NUL", advice: "holds a NUL character; make the archive again with ordinary file names" },
  { broken: (name) => /^(?:\.?\/)*[a-zA-Z]:/.test(name), code: "STAGING_PACKAGE_NAME_DRIVE", advice: "starts with a drive letter; make the archive with names relative to the folder of the app" },
  { broken: (name) => name.includes("\\"), code: "STAGING_PACKAGE_NAME_BACKSLASH", advice: "holds a backslash; names in a zip are separated by /, so make the archive with a tool that follows the format" },
  { broken: (name) => name.startsWith("/"), code: "STAGING_PACKAGE_NAME_ABSOLUTE", advice: "is absolute; make the archive with names relative to the folder of the app" },
  { broken: (name) => name.split("/").includes(".."), code: "STAGING_PACKAGE_NAME_PARENT", advice: "has a .. part; make the archive from inside the folder of the app" },
  { broken: (name) => Buffer.byteLength(name) > 4_096, code: "STAGING_PACKAGE_NAME_INVALID", advice: "is longer than 4096 bytes; use shorter names" },
  { broken: (name) => name.split("/").some((part) => Buffer.byteLength(part) > 255), code: "STAGING_PACKAGE_NAME_INVALID", advice: "has a part longer than 255 bytes; use shorter names" },
  { broken: (name) => name.split("/").length > 100, code: "STAGING_PACKAGE_NAME_INVALID", advice: "is more than 100 folders deep; use a flatter tree" },
];

/**
 * The name of an archive entry in its one safe form: relative, separated by `/`, no empty, `.` or `..` parts, no slash at the end.
 * The root itself is the empty string.
 * @throws StagingError `STAGING_PACKAGE_NAME_*`
 */
export function safeName(name: string): string {
  for (const { broken, code, advice } of rules)
    if (broken(name)) throw new StagingError(code, `the entry ${quoteName(name)} ${advice}`, { phase: "package" });
  return name.split("/").filter((part) => part !== "" && part !== ".").join("/");
}

/** The names of all folders above a safe name, nearest first. */
export function* parentsOf(name: string): Generator<string> {
  for (let at = name.lastIndexOf("/"); at > 0; at = name.lastIndexOf("/", at - 1)) yield name.slice(0, at);
}
