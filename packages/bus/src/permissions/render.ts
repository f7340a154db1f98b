import { BusError } from "../errors.ts";
import type { Role } from "../schema.ts";
import { joinPermissions, type PermissionOptions, type Permissions, permissionsFor } from "./derive.ts";

export interface NatsUser extends PermissionOptions {
  /** One role, or several that one process has. */
  role: Role | readonly Role[];
  /** Default: the (first) role. */
  user?: string;
  /** The password, its bcrypt hash (as `nats server passwd` makes it), or the environment variable of the server that has it. */
  password?: string | { readonly env: string };
  /** Public key (`U...`) in place of user and password. */
  nkey?: string;
}

/** One role as the `permissions` of a user in a nats-server configuration file. */
export const natsPermissions = (role: Role, options: PermissionOptions = {}): string => `permissions: ${block(permissionsFor(role, options), "")}\n`;

/**
 * The `authorization` of a nats-server configuration file: these users may do what their roles need, nobody else anything.
 * @throws BusError `BUS_INVALID_PAYLOAD` for a user without password and nkey, or a user named twice
 */
export function natsAuthorization(users: readonly NatsUser[]): string {
  const names = new Set<string>();
  const entries = users.map(({ role, user, password, nkey, ...options }) => {
    const all = [role].flat() as Role[];
    const [first = "component"] = all;
    const name = nkey ?? user ?? first;
    if (names.has(name)) throw new BusError("BUS_INVALID_PAYLOAD", `two users are called ${name}`);
    names.add(name);
    if (password === undefined && nkey === undefined) throw new BusError("BUS_INVALID_PAYLOAD", `user ${name} needs a password or an nkey`);
    const { inboxPrefix = `_INBOX.${first}` } = options;
    const permissions = joinPermissions(...all.map((each) => permissionsFor(each, { ...options, inboxPrefix })));
    const who = nkey === undefined ? `user: ${quote(name)}, password: ${secret(password as string | { env: string })}` : `nkey: ${quote(nkey)}`;
    return `    # ${all.join(", ")}; connects with inboxPrefix ${inboxPrefix}\n    {\n      ${who}\n      permissions: ${block(permissions, "      ")}\n    }\n`;
  });
  return `authorization {\n  users = [\n${entries.join("")}  ]\n}\n`;
}

function block({ publish, subscribe, allowResponses }: Permissions, indent: string): string {
  const lines = [
    `  publish: ${side(publish, `${indent}  `)}`,
    `  subscribe: ${side(subscribe, `${indent}  `)}`,
    ...(allowResponses ? [`  allow_responses: { max: ${allowResponses.max}, expires: "${Math.ceil(allowResponses.expiresMs / 1_000)}s" }`] : []),
  ];
  return `{\n${lines.map((line) => `${indent}${line}\n`).join("")}${indent}}`;
}

function side({ allow, deny }: Permissions["publish"], indent: string): string {
  const list = (name: string, subjects: readonly string[]): string => `${indent}  ${name}: [${subjects.map((subject) => `\n${indent}    ${quote(subject)}`).join("")}\n${indent}  ]\n`;
  // A server reads an empty list as "no rule": then everything would be allowed.
  const closed = allow.length === 0 ? [...deny, ">"] : deny;
  return `{\n${allow.length === 0 ? "" : list("allow", allow)}${closed.length === 0 ? "" : list("deny", closed)}${indent}}`;
}

const secret = (password: string | { readonly env: string }): string => (typeof password === "string" ? quote(password) : `$${password.env}`);

/** The escapes that the server's configuration language has. */
const quote = (text: string): string =>
  `"${text.replace(/["\\]/g, "\\$&").replace(/[\0-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)}"`;
