import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { knownKeys } from "../../src/config/read.ts";

const path = (name: string): string => fileURLToPath(new URL(`../../src/${name}`, import.meta.url));

/** What can be said where, by the docstrings of these interfaces. */
const places: readonly { readonly title: string; readonly file: string; readonly name: string; readonly before: string }[] = [
  { title: "The router", file: "options.ts", name: "RouterOptions", before: "`createRouter({ … })`." },
  { title: "HTTPS", file: "edge/tls-options.ts", name: "TlsOptions", before: "`tls`." },
  { title: "TCP", file: "tcp/options.ts", name: "TcpOptions", before: "`tcp`." },
  { title: "TLS that ends at TCP ports", file: "tcp/options.ts", name: "TcpTlsOptions", before: "`tcp.tls`; besides these, all of HTTPS but `port`, `hostCheck` and `proxyProtocol`." },
  { title: "Status", file: "status/options.ts", name: "StatusOptions", before: "`status`." },
  { title: "Lines of the access log", file: "proxy/access-log.ts", name: "AccessLogOptions", before: "`accessLogFormat`." },
  { title: "Route services", file: "route-service/options.ts", name: "RouteServiceOptions", before: "`routeServices`." },
  { title: "One route", file: "route-options.ts", name: "RouteOptions", before: "The third argument of `table.register`. In a file of routes they are written in snake case." },
  { title: "Routes from a bus", file: "bus-link.ts", name: "BusRoutesOptions", before: "The second argument of `routesFromBus`." },
  { title: "A log file", file: "log/file.ts", name: "FileTargetOptions", before: "The second argument of `logToFile`." },
  { title: "A log collector", file: "log/socket.ts", name: "SocketTargetOptions", before: "`logToSocket({ … })`." },
  { title: "Lines for the logs of apps", file: "bus/app-log.ts", name: "AppLogOptions", before: "The second argument of `logToApps`." },
  { title: "Active apps", file: "bus/active-apps.ts", name: "ActiveAppsOptions", before: "The third argument of `publishActiveApps`." },
  { title: "Traces", file: "proxy/tracing.ts", name: "TracingOptions", before: "`traceRequests({ … })`." },
  { title: "Answers rewritten", file: "proxy/rewrite.ts", name: "RewriteOptions", before: "`rewriteAnswers({ … })`." },
  { title: "Saved routes", file: "saved-routes.ts", name: "SavedRoutesOptions", before: "`savedRoutes({ … })`." },
];

export interface Option { readonly name: string; readonly type: string; readonly text: string }

/** The options of an interface, in order. An option without a docstring has an empty text. */
export function optionsOf(file: string, name: string): Option[] {
  const source = ts.createSourceFile(file, readFileSync(path(file), "utf8"), ts.ScriptTarget.Latest, true);
  const found = source.statements.find((each): each is ts.InterfaceDeclaration => ts.isInterfaceDeclaration(each) && each.name.text === name);
  if (found === undefined) throw new Error(`${file} has no interface ${name}`);
  return found.members.filter(ts.isPropertySignature).map((member) => {
    const text = ts.getJSDocCommentsAndTags(member).map((each) => (typeof each.comment === "string" ? each.comment : ts.getTextOfJSDocComment(each.comment) ?? "")).join(" ").replace(/\s+/g, " ").trim();
    return { name: member.name.getText(), type: member.type?.getText().replace(/\s+/g, " ") ?? "", text };
  });
}

const cell = (text: string): string => text.replaceAll("|", "\\|");
const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string =>
  [heads, heads.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

/** The page, as it has to be. */
export function optionsPage(): string {
  return `# Every option of the router

Made from the docstrings and from the table of keys; a test compares them (\`UPDATE_DOCS=1 npx vitest run packages/router/test/docs\` writes it anew).
Words about how they work together are in the [README](../packages/router/README.md), what is done on purpose as no gorouter does it in
[compatibility.md](compatibility.md). The flags of the program are in \`opencf-router --help\`.

${places.map(({ title, file, name, before }) => `## ${title}\n\n${before}\n\n${table(["Option", "Type", "What it is"], optionsOf(file, name).map((each) => [`\`${each.name}\``, `\`${cell(each.type)}\``, cell(each.text)]))}\n`).join("\n")}
## Keys of a gorouter's file

As \`opencf-router --list-keys\` has them. A key that is not honoured is named at the start, unless its value asks for what is done anyway.

${table(["Key", "", "What is different"], knownKeys.map(({ key, honoured, why }) => [`\`${key}\``, honoured ? "honoured" : "not honoured", cell(why)]))}

Keys of this program's own: \`routes\`, \`tcp_routes\`, \`tcp_ports\`, \`tcp_tls\`; see the README.
`;
}

/** Every interface of the page. */
export const documented = places;
