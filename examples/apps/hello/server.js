import { createServer } from "node:http";

const port = Number(process.env.PORT ?? 8080);
const { application_name: name = "hello" } = JSON.parse(process.env.VCAP_APPLICATION ?? "{}");
const instance = process.env.CF_INSTANCE_INDEX ?? "0";

const page = (path) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hello from ${escape(name)}</title>
<style>body { font: 1.25rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem }</style>
<h1>Hello from ${escape(name)}</h1>
<p>This is instance ${escape(instance)}, listening on port ${port}.</p>
<p>You asked for <code>${escape(path)}</code>. Every path works here.</p>
</html>
`;

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const server = createServer((request, response) => {
  const path = request.url ?? "/";
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(request.method === "HEAD" ? undefined : page(path));
  console.log(`${request.method} ${path} instance ${instance}`);
});
server.listen(port, () => console.log(`${name}, instance ${instance}, listens on port ${port}`));
process.once("SIGTERM", () => server.close(() => process.exit(0)));
