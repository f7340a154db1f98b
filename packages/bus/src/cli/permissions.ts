import { natsAuthorization, natsPermissions, permissionsFor, type Role, roles } from "../permissions.ts";
import { commonFlags, parse } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { Misuse, nearest } from "./usage.ts";

const flags = { ...commonFlags, "config": { type: "boolean" }, "inbox-prefix": { type: "string" }, "no-state": { type: "boolean" }, "id": { type: "string" } } as const;

/** What each role is for, in the words of `opencf-bus permissions`. */
export const about: Readonly<Record<Role, string>> = {
  "executor": "runs instances: takes start and stop commands, heartbeats, registers routes",
  "router": "routes requests: listens to registrations, greets",
  "controller": "decides what runs: sends start, stop and staging commands",
  "health-manager": "compares what runs with what should; asks the controller to act",
  "stager": "stages packages",
  "log-store": "keeps log lines",
  "uaa": "knows users; registers its routes",
  "blobstore": "keeps packages and droplets; registers its routes",
  "service-gateway": "provisions services of the first generation, through nodes",
  "service-node": "has the services of the first generation",
  "diego-bridge": "hands desired apps of the cloud controller to Diego",
  "monitor": "discovers components to scrape them",
  "tool": "looks from outside, such as opencf-bus itself",
  "component": "what every component may do, and no more",
};

/** `opencf-bus permissions [ROLE]`: least privilege as a nats-server wants to read it. */
export async function permissions(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parse(args, flags);
  const named = positionals.map(roleOf);
  const options = {
    ...(values["inbox-prefix"] !== undefined && { inboxPrefix: values["inbox-prefix"] }), ...(values["no-state"] && { state: false }), ...(values.id !== undefined && { params: { id: values.id } }),
  };
  const chosen = named.length > 0 ? named : values.config || values.json ? roles : [];
  const lines = values.config
    ? [configText(chosen, options)]
    : values.json
      ? chosen.map((role) => JSON.stringify({ role, ...permissionsFor(role, options) }))
      : chosen.length > 0
        ? chosen.map((role) => `# ${role}: ${about[role]}\n# connects with inboxPrefix ${options.inboxPrefix ?? `_INBOX.${role}`}\n${natsPermissions(role, options).trimEnd()}`)
        : roles.map((role) => `${role.padEnd(16)} ${about[role]}`);
  for (const line of lines) terminal.out(line);
  if (chosen.length === 0) terminal.note("opencf-bus permissions ROLE prints one, --config a whole authorization block");
  return 0;
}

const placeholder = (role: Role): string => `NATS_${role.toUpperCase().replaceAll("-", "_")}_PASSWORD`;

/** A user for each role. The passwords are variables of the server's environment: nothing secret gets into the file. */
export const configText = (chosen: readonly Role[], options: { inboxPrefix?: string; state?: boolean; params?: Record<string, string> }): string =>
  [
    "# Users with the permissions that their roles need. nats-server reads the passwords from its environment:",
    ...chosen.map((role) => `#   ${placeholder(role)}`),
    natsAuthorization(chosen.map((role) => ({ role, password: { env: placeholder(role) }, ...options }))).trimEnd(),
  ].join("\n");

function roleOf(name: string): Role {
  if ((roles as readonly string[]).includes(name)) return name as Role;
  const near = nearest(name, roles);
  throw new Misuse(`"${name}" is no role${near === undefined ? "" : `: did you mean ${near}?`} (roles: ${roles.join(", ")})`);
}
