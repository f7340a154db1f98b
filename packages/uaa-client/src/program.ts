import { readFile } from "node:fs/promises";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { UaaError } from "./errors.ts";
import { createGrantClient, type TokenSet } from "./grants.ts";
import { globalFetch, type Fetch } from "./ports.ts";
import { decodeUnverified } from "./token.ts";
import { createValidator } from "./validator.ts";

/** What the program touches of the outer world; a test hands in its own. */
export interface ProgramIo {
  env: Readonly<Record<string, string | undefined>>;
  readStdin(): Promise<string>;
  out(text: string): void;
  err(text: string): void;
  fetch?: Fetch;
  now?(): number;
}

export const help = `opencf-token: look at tokens, check them, get them

  opencf-token decode                 show what the token on standard input says; checks nothing
  opencf-token validate               check the token on standard input: signature, issuer, audience, time, kind
  opencf-token get                    ask a UAA for a token and print it

Examples
  cf oauth-token | opencf-token decode
  cf oauth-token | opencf-token validate --issuer https://uaa.example.com/oauth/token --audience cloud_controller
  OPENCF_CLIENT_SECRET=s3cret opencf-token get --client-credentials --url https://uaa.example.com --client-id batch
  OPENCF_PASSWORD=pw opencf-token get --password --url https://uaa.example.com --username ann

validate
  --audience NAME        a name of the resource server; may be repeated (required)
  --issuer URL           expected issuer, exactly; UAA's ends in /oauth/token
  --url URL              address of the UAA; the issuer is then learnt from it (this or --issuer is required)
  --keys-url URL         where the keys are, if discovery is not to be asked
  --scope NAME           demand this scope; may be repeated
  --zone ID              demand this identity zone
  --clock-tolerance-seconds N   0 to 60, default 5

get
  --client-credentials   a token for the client itself
  --password             a token for a user; the password comes from OPENCF_PASSWORD or --password-file
  --url URL              address of the UAA (required)
  --client-id ID         default: cf
  --client-secret-file FILE     or OPENCF_CLIENT_SECRET; default: the empty secret
  --username NAME, --password-file FILE, --origin NAME
  --scope NAME           ask for this scope only; may be repeated

all
  --timeout-ms N         default 10000
  --json                 one JSON object on standard output
  --help

Secrets never go on the command line, where every user of the machine can read them.
Exit codes: 0 it worked; 1 it did not (the token is bad, the UAA said no); 2 asked wrongly.
`;

class Usage extends Error {}

const options = {
  help: { type: "boolean" }, json: { type: "boolean" }, "timeout-ms": { type: "string" },
  issuer: { type: "string" }, url: { type: "string" }, "keys-url": { type: "string" }, zone: { type: "string" },
  audience: { type: "string", multiple: true }, scope: { type: "string", multiple: true }, "clock-tolerance-seconds": { type: "string" },
  "client-credentials": { type: "boolean" }, password: { type: "boolean" }, "client-id": { type: "string" }, "client-secret-file": { type: "string" },
  username: { type: "string" }, "password-file": { type: "string" }, origin: { type: "string" },
} as const satisfies ParseArgsConfig["options"];

type Values = ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>["values"];

const commands: Readonly<Record<string, { run(values: Values, io: ProgramIo): Promise<void>; takes: readonly (keyof Values)[] }>> = {
  decode: { run: decode, takes: [] },
  validate: { run: validate, takes: ["issuer", "url", "keys-url", "zone", "audience", "scope", "clock-tolerance-seconds", "timeout-ms"] },
  get: { run: get, takes: ["client-credentials", "password", "url", "client-id", "client-secret-file", "username", "password-file", "origin", "scope", "timeout-ms"] },
};

/** Runs the program and gives its exit code. */
export async function run(args: readonly string[], io: ProgramIo): Promise<0 | 1 | 2> {
  let json = args.includes("--json");
  try {
    const { values, positionals } = parse(args);
    json = values.json === true;
    if (values.help || (positionals.length === 0 && args.length === 0)) {
      (values.help ? io.out : io.err)(help);
      return values.help ? 0 : 2;
    }
    const [name = "", ...rest] = positionals;
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined || rest.length > 0) throw new Usage(`unknown command: ${[name, ...rest].join(" ").trim() || "(none)"}`);
    const foreign = Object.keys(values).find((option) => !["json", "help", ...command.takes].includes(option));
    if (foreign !== undefined) throw new Usage(`${name} does not take --${foreign}`);
    await command.run(values, io);
    return 0;
  } catch (error) {
    const usage = error instanceof Usage || (error instanceof UaaError && error.code === "invalid_options");
    if (!usage && !(error instanceof UaaError)) throw error;
    const { message } = error as Error;
    const code = error instanceof UaaError ? error.code : "usage";
    if (json) io.out(`${JSON.stringify({ ok: false, code, message })}\n`);
    else io.err(`opencf-token: ${usage ? "" : `${code}: `}${message}\n${usage ? "Try opencf-token --help\n" : ""}`);
    return usage ? 2 : 1;
  }
}

function parse(args: readonly string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (cause) {
    throw new Usage((cause as Error).message.split("\n")[0]);
  }
}

async function decode(values: Values, io: ProgramIo): Promise<void> {
  const { header, claims } = decodeUnverified(await tokenFromStdin(io));
  if (values.json) return io.out(`${JSON.stringify({ verified: false, header, claims })}\n`);
  io.out("Not verified: anybody could have written this.\n\n");
  io.out(`header ${JSON.stringify(header, null, 2)}\nclaims ${JSON.stringify(claims, null, 2)}\n\n`);
  for (const name of ["iat", "nbf", "exp"])
    if (typeof claims[name] === "number") io.out(`${name} ${when(claims[name], io.now?.() ?? Date.now())}\n`);
}

async function validate(values: Values, io: ProgramIo): Promise<void> {
  if (values.audience === undefined) throw new Usage("validate needs --audience");
  if (values.issuer === undefined && values.url === undefined) throw new Usage("validate needs --issuer or --url");
  const validator = createValidator({
    audience: values.audience, fetch: io.fetch ?? globalFetch, keysTimeoutMs: timeoutMs(values),
    ...(values.issuer !== undefined && { issuer: values.issuer }), ...(values.url !== undefined && { url: values.url }),
    ...(values["keys-url"] !== undefined && { keysUrl: values["keys-url"] }), ...(values.zone !== undefined && { zone: values.zone }),
    ...(values["clock-tolerance-seconds"] !== undefined && { clockToleranceSeconds: number(values["clock-tolerance-seconds"], "--clock-tolerance-seconds") }),
  });
  const who = await validator.validate(await tokenFromStdin(io), values.scope === undefined ? {} : { scopes: values.scope });
  const { kind, userId, userName, clientId, scopes, expiresAt } = who;
  if (values.json) return io.out(`${JSON.stringify({ ok: true, kind, userId, userName, clientId, scopes: [...scopes], expiresAt })}\n`);
  io.out(`valid: ${kind === "user" ? `user ${userName ?? userId} (${userId}) through client ${clientId}` : `client ${clientId}`}\n`);
  io.out(`scopes: ${[...scopes].join(" ")}\nexpires: ${expiresAt.toISOString()}\n`);
}

async function get(values: Values, io: ProgramIo): Promise<void> {
  if ((values["client-credentials"] === true) === (values.password === true)) throw new Usage("get needs either --client-credentials or --password");
  if (values.url === undefined) throw new Usage("get needs --url");
  const clientSecret = (await secret(values["client-secret-file"], io.env["OPENCF_CLIENT_SECRET"])) ?? "";
  const grants = createGrantClient({ url: values.url, clientId: values["client-id"] ?? "cf", clientSecret, timeoutMs: timeoutMs(values), fetch: io.fetch ?? globalFetch });
  const scoped = values.scope === undefined ? {} : { scopes: values.scope };
  let tokens: TokenSet;
  if (values["client-credentials"]) tokens = await grants.clientCredentials(scoped);
  else {
    const password = await secret(values["password-file"], io.env["OPENCF_PASSWORD"]);
    if (values.username === undefined || password === undefined) throw new Usage("get --password needs --username, and OPENCF_PASSWORD or --password-file");
    tokens = await grants.password({ username: values.username, password, ...scoped, ...(values.origin !== undefined && { origin: values.origin }) });
  }
  const { accessToken, refreshToken, expiresAt, scopes } = tokens;
  io.out(values.json ? `${JSON.stringify({ ok: true, accessToken, refreshToken, expiresAt, scopes: [...scopes] })}\n` : `${accessToken}\n`);
}

/** Accepts what `cf oauth-token` prints: the word "bearer" before the token. */
async function tokenFromStdin(io: ProgramIo): Promise<string> {
  return (await io.readStdin()).trim().replace(/^bearer\s+/i, "");
}

async function secret(file: string | undefined, fromEnvironment: string | undefined): Promise<string | undefined> {
  if (file === undefined) return fromEnvironment;
  try {
    return (await readFile(file, "utf8")).replace(/\r?\n$/, "");
  } catch (cause) {
    throw new Usage(`cannot read ${file}: ${(cause as NodeJS.ErrnoException).code ?? "error"}`);
  }
}

function number(text: string, name: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0) throw new Usage(`${name} is not a number: ${text}`);
  return value;
}

function timeoutMs(values: Values): number {
  const ms = number(values["timeout-ms"] ?? "10000", "--timeout-ms");
  if (!Number.isInteger(ms) || ms < 1 || ms > 600_000) throw new Usage("--timeout-ms must be a whole number from 1 to 600000");
  return ms;
}

function when(seconds: number, nowMs: number): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return `${seconds} (no date)`;
  const distance = Math.round(seconds - nowMs / 1000);
  return `${date.toISOString()} (${distance >= 0 ? `in ${distance} s` : `${-distance} s ago`})`;
}
