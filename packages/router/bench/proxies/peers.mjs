// Proxies of other people from npm, in the folder PEERS names. None of them writes an access log.
//   npm install --prefix /tmp/peers fast-proxy fastify @fastify/http-proxy httpxy http-proxy-3 undici && export PEERS=/tmp/peers
import { existsSync } from "node:fs";
import { join } from "node:path";

export const folder = process.env.PEERS;

/** What each needs, by the name of its row. */
export const peers = {
  "node:http and undici's dispatch": ["undici"],
  "fast-proxy": ["fast-proxy"],
  "@fastify/http-proxy": ["fastify", "@fastify/http-proxy"],
  "httpxy": ["httpxy"],
  "http-proxy-3": ["http-proxy-3"],
};

/** Those whose packages are there. */
export const installedPeers = () => (folder === undefined ? [] : Object.keys(peers).filter((name) => peers[name].every((needed) => existsSync(join(folder, "node_modules", needed)))));

export async function startPeer({ parts, backend, certificate, name }) {
  const part = await parts.node(new URL("./peer-process.mjs", import.meta.url), { measured: true, args: { name, folder, backend, certificate } });
  return { name, port: part.hello.port, part };
}
