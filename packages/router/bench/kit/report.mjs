// How a bench is called and what it prints: options with defaults, `--help` from the comment at its head, a table in markdown or `--json`.
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

// Before anybody pins this process to some of them.
const cores = availableParallelism();

/** Reads the command line. `defaults` has a number, a text or a boolean per option; what is typed becomes the same kind. Exit code 2 where it makes no sense. */
export function commandLine(url, defaults) {
  const options = { help: { type: "boolean" }, json: { type: "boolean" } };
  for (const [name, value] of Object.entries(defaults)) options[name] = { type: typeof value === "boolean" ? "boolean" : "string" };
  let typed;
  try {
    typed = parseArgs({ options, allowNegative: true }).values;
    for (const [name, value] of Object.entries(defaults)) {
      if (typeof value !== "number" || typed[name] === undefined) continue;
      const number = Number(typed[name]);
      if (typed[name].trim() === "" || !(number > 0 && Number.isFinite(number))) throw new Error(`--${name} ${typed[name]}: a number above 0 is wanted`);
      typed[name] = number;
    }
  } catch (cause) {
    console.error(`${cause.message}\n\n${head(url)}`);
    process.exit(2);
  }
  if (typed.help) {
    console.log(head(url));
    process.exit(0);
  }
  return { json: false, ...defaults, ...typed };
}

/** The comment a file begins with. */
function head(url) {
  const lines = readFileSync(fileURLToPath(url), "utf8").split("\n").filter((line, at) => at > 0 || !line.startsWith("#!"));
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines.slice(0, end).map((line) => line.replace(/^\/\/ ?/, "")).join("\n");
}

/** @param tables `{ title, rows, notes? }` each; what a row does not have is an empty cell. */
export function report({ json, title, about = {}, tables }) {
  const machine = { node: process.version, cores, processor: cpus()[0]?.model, ...about };
  if (json) {
    console.log(JSON.stringify({ title, ...machine, tables }));
    return;
  }
  console.log(`\n## ${title}\n\n${Object.entries(machine).map(([name, value]) => `${name} ${value}`).join(" · ")}`);
  for (const { title: of, rows, notes = [] } of tables) {
    console.log(`\n### ${of}\n`);
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    if (rows.length > 0) console.log([columns, columns.map((_, at) => (at === 0 ? "---" : "---:")), ...rows.map((row) => columns.map((name) => row[name] ?? ""))].map((cells) => `| ${cells.join(" | ")} |`).join("\n"));
    for (const note of notes) console.log(`\n${note}`);
  }
}
