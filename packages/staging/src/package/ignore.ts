/** What `cf push` never sends. */
const always = [".cfignore", ".DS_Store", ".git", ".gitignore", ".hg", ".svn", "_darcs", "/manifest.yml", "/manifest.yaml"];

/** Tells whether a name (relative, `/`-separated) is left out. */
export interface Ignore {
  (name: string, isDirectory: boolean): boolean;
  /** A pattern with `!` exists, so something below an ignored folder may come back. */
  readonly mayReturn: boolean;
}

/** The patterns of a `.cfignore` file: those of a `.gitignore`, one file only, the last match decides. Unlike in git a file below an ignored folder can be taken back. */
export function createIgnore(text: string): Ignore {
  const rules = [...always, ...text.split(/\r?\n/)].map(compile).filter((rule) => rule !== undefined);
  const ignored = (name: string, isDirectory: boolean): boolean => {
    const subject = isDirectory ? `${name}/` : name;
    return rules.findLast(({ pattern }) => pattern.test(subject))?.ignore ?? false;
  };
  return Object.assign(ignored, { mayReturn: rules.some(({ ignore }) => !ignore) });
}

function compile(line: string): { pattern: RegExp; ignore: boolean } | undefined {
  let glob = line.replace(/(?<!\\)\s+$/, "");
  if (glob === "" || glob.startsWith("#")) return undefined;
  const ignore = !glob.startsWith("!");
  if (!ignore) glob = glob.slice(1);
  const folderOnly = glob.endsWith("/");
  if (folderOnly) glob = glob.slice(0, -1);
  const anchored = glob.includes("/");
  const body = translate(glob.replace(/^\//, ""));
  return { pattern: new RegExp(`^${anchored ? "" : "(?:.*/)?"}${body}${folderOnly ? "/.*" : "(?:/.*)?"}$`, "s"), ignore };
}

const pieces: readonly (readonly [RegExp, (found: string) => string])[] = [
  [/^\\(.)/s, (found) => escape(found.slice(1))],
  [/^\*\*\//, () => "(?:.*/)?"],
  [/^\/\*\*$/, () => "/.*"],
  [/^\*+/, () => "[^/]*"],
  [/^\?/, () => "[^/]"],
  [/^\[!?[^\]/]+\]/, (found) => found.replace(/^\[!/, "[^").replaceAll("\\", "\\\\")],
  [/^./s, (found) => escape(found)],
];

function translate(glob: string): string {
  let rest = glob;
  let out = "";
  while (rest !== "")
    for (const [shape, write] of pieces) {
      const found = shape.exec(rest)?.[0];
      if (found === undefined) continue;
      out += write(found);
      rest = rest.slice(found.length);
      break;
    }
  return out;
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
