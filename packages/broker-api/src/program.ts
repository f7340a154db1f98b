import { parseArgs, type ParseArgsConfig } from "node:util";
import { checkBroker, type ConformanceOptions, type ConformanceResult } from "./conformance.ts";
import { isObject, type JsonObject } from "./json.ts";

/** What the program touches of the outer world; a test hands in its own. */
export interface ProgramIo {
  env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
}

export const help = `opencf-broker: try a service broker the way a platform would

  opencf-broker check URL --user NAME --password WORD

Examples
  opencf-broker check http://localhost:8080 --user u --password p
  OPENCF_BROKER_PASSWORD=p opencf-broker check https://broker.example.com --user u --plan small
  opencf-broker check http://localhost:8080 --user u --password p --parameters '{"size_mb":16}' --json

Makes an instance and a binding on one plan, looks at every answer, and deletes both.
Synchronous operations only: a plan that must work asynchronously is reported as skipped.

  --user NAME            user name of the broker (required)
  --password WORD        its password; OPENCF_BROKER_PASSWORD keeps it out of the process list
  --plan ID|NAME         plan to try; default: the first of the catalog
  --parameters JSON      parameters for provision
  --bind-parameters JSON parameters for bind
  --timeout-ms N         limit of one request, default 60000
  --json                 one JSON object on standard output
  --help

Exit codes: 0 nothing failed; 1 something failed; 2 asked wrongly.
`;

class Usage extends Error {}

const options = {
  help: { type: "boolean" }, json: { type: "boolean" }, user: { type: "string" }, password: { type: "string" }, plan: { type: "string" },
  parameters: { type: "string" }, "bind-parameters": { type: "string" }, "timeout-ms": { type: "string" },
} as const satisfies ParseArgsConfig["options"];

/** Runs the program and gives its exit code. */
export async function run(args: readonly string[], io: ProgramIo): Promise<0 | 1 | 2> {
  let asked: ConformanceOptions;
  let json: boolean;
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    if (values.help) {
      io.out(help);
      return 0;
    }
    const [command, url, ...rest] = positionals;
    const password = values.password ?? io.env["OPENCF_BROKER_PASSWORD"];
    if (command !== "check" || url === undefined || rest.length > 0) throw new Usage("the only command is: check URL");
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw new Usage(`not an http(s) URL: ${url}`);
    if (values.user === undefined || password === undefined) throw new Usage("check needs --user, and --password or OPENCF_BROKER_PASSWORD");
    const parameters = jsonObject(values.parameters, "--parameters");
    const bindParameters = jsonObject(values["bind-parameters"], "--bind-parameters");
    const timeoutMs = Number(values["timeout-ms"] ?? "60000");
    if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > 3_600_000) throw new Usage("--timeout-ms must be a whole number from 1 to 3600000");
    json = values.json === true;
    asked = { url, username: values.user, password, timeoutMs, ...(values.plan !== undefined && { plan: values.plan }), ...(parameters && { parameters }), ...(bindParameters && { bindParameters }) };
  } catch (error) {
    if (!(error instanceof Usage) && !/^ERR_PARSE_ARGS/.test((error as NodeJS.ErrnoException).code ?? "")) throw error;
    io.err(`opencf-broker: ${(error as Error).message.split("\n")[0]}\nTry opencf-broker --help\n`);
    return 2;
  }
  const results: ConformanceResult[] = [];
  for await (const one of checkBroker(asked)) {
    results.push(one);
    if (!json) io.out(`${marks[one.result]} ${one.name}${one.reason === undefined ? "" : `: ${one.reason}`}\n`);
  }
  const count = (result: ConformanceResult["result"]): number => results.filter((one) => one.result === result).length;
  const [passed, failed, skipped] = [count("passed"), count("failed"), count("skipped")];
  if (json) io.out(`${JSON.stringify({ ok: failed === 0, passed, failed, skipped, results })}\n`);
  else io.out(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  return failed === 0 ? 0 : 1;
}

const marks = { passed: "ok  ", failed: "FAIL", skipped: "skip" } as const;

function jsonObject(text: string | undefined, name: string): JsonObject | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch { /* told below */ }
  throw new Usage(`${name} must be a JSON object`);
}
