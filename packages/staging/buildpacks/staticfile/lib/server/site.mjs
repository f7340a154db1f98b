// One request to the site: which file, with which headers.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readdir, readFile, realpath, stat } from "node:fs/promises";
import { join, posix, sep } from "node:path";
import { createGzip, gzipSync } from "node:zlib";
import { pipeline } from "node:stream/promises";
import { mayEnter } from "./auth.mjs";
import { isCompressible, typeOf, withCharset } from "./mime.mjs";
import { expand } from "./ssi.mjs";

const indexes = ["index.html", "index.htm", "Default.htm"];
const compressFromBytes = 1_100;
const hashUpToBytes = 16 * 1024 * 1024;
const first = (value) => (Array.isArray(value) ? value[0] : value)?.split(",")[0].trim() || undefined;
const escape = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** @returns {Promise<(request, response) => Promise<void>>} */
export async function createSite(folder, settings) {
  const root = await realpath(folder);
  const tags = new Map();

  /** The file or folder of a path, never outside of the site, whatever links say. */
  async function find(path) {
    if (path.includes("\0") || (!settings.hostDotFiles && path.split("/").some((part) => part.startsWith(".")))) return undefined;
    try {
      const real = await realpath(join(root, path));
      if (real !== root && !real.startsWith(root + sep)) return undefined;
      return { file: real, status: await stat(real) };
    } catch {
      return undefined;
    }
  }
  const findFile = async (path) => {
    const found = await find(path);
    return found?.status.isFile() ? found : undefined;
  };

  /** Droplets carry one fixed time for all files, so only the content can tell whether a file changed. */
  async function tagOf(file, { size, mtimeMs }) {
    if (size > hashUpToBytes) return undefined;
    const known = tags.get(file);
    if (known?.size === size && known.mtimeMs === mtimeMs) return known.tag;
    const tag = createHash("sha1").update(await readFile(file)).digest("base64url").slice(0, 20);
    if (tags.size >= 10_000) tags.clear();
    tags.set(file, { size, mtimeMs, tag });
    return tag;
  }

  function write(request, response, status, headers, body) {
    const secure = settings.hsts !== null && status < 400 ? { "strict-transport-security": settings.hsts } : {};
    response.writeHead(status, { ...secure, ...headers });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  async function fail(request, response, status, headers = {}) {
    const page = settings.pages[status];
    const found = page === undefined ? undefined : await findFile(page);
    if (found) {
      const body = await readFile(found.file);
      const type = withCharset(typeOf(found.file));
      return write(request, response, status, { "content-type": type, "content-length": body.length, ...headers }, body);
    }
    const text = `${status}\n`;
    write(request, response, status, { "content-type": "text/plain; charset=utf-8", "content-length": text.length, ...headers }, text);
  }

  async function list(request, response, path, folderPath) {
    const items = (await readdir(folderPath, { withFileTypes: true })).filter(({ name }) => settings.hostDotFiles || !name.startsWith("."))
      .map((item) => item.name + (item.isDirectory() ? "/" : "")).sort();
    const rows = [...(path === "/" ? [] : ["../"]), ...items].map((name) => `<li><a href="${name === "../" ? "../" : escape(`./${encodeURIComponent(name).replaceAll("%2F", "/")}`)}">${escape(name)}</a></li>`);
    const body = Buffer.from(`<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Index of ${escape(path)}</title><h1>Index of ${escape(path)}</h1><ul>\n${rows.join("\n")}\n</ul></html>\n`);
    write(request, response, 200, { "content-type": "text/html; charset=utf-8", "content-length": body.length }, body);
  }

  async function send(request, response, path, { file, status }) {
    const plainType = typeOf(file);
    const headers = { "content-type": withCharset(plainType) };
    if (settings.ssi && plainType === "text/html") {
      const body = Buffer.from(await expand(await readFile(file, "utf8"), path, async (target) => (await findFile(target))?.file));
      return write(request, response, 200, { ...headers, "content-length": body.length }, body);
    }
    const acceptsGzip = /(^|,)\s*(gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*(,|$))[\d.]+)?\s*(,|$)/i.test(String(request.headers["accept-encoding"] ?? ""));
    const packed = acceptsGzip ? await findFile(`${path}.gz`) : undefined;
    const compress = acceptsGzip && !packed && status.size >= compressFromBytes && isCompressible(plainType) && request.headers.range === undefined;
    if (isCompressible(plainType) || packed) headers["vary"] = "accept-encoding";
    const tag = await tagOf(file, status);
    const encoded = packed !== undefined || compress;
    if (tag !== undefined) headers["etag"] = encoded ? `W/"${tag}"` : `"${tag}"`;
    const asked = String(request.headers["if-none-match"] ?? "");
    if (tag !== undefined && (asked.trim() === "*" || asked.split(",").some((each) => each.trim().replace(/^W\//, "") === `"${tag}"`))) return write(request, response, 304, headers);
    if (encoded) headers["content-encoding"] = "gzip";
    if (packed) return stream(request, response, 200, { ...headers, "content-length": packed.status.size }, packed.file);
    if (compress && status.size <= 65_536) {
      const body = gzipSync(await readFile(file));
      return write(request, response, 200, { ...headers, "content-length": body.length }, body);
    }
    if (compress) return stream(request, response, 200, headers, file, undefined, createGzip());
    headers["accept-ranges"] = "bytes";
    const range = rangeOf(request, status.size, headers["etag"]);
    if (range === "bad") return fail(request, response, 416, { "content-range": `bytes */${status.size}` });
    if (!range) return stream(request, response, 200, { ...headers, "content-length": status.size }, file);
    return stream(request, response, 206, { ...headers, "content-length": range.end - range.start + 1, "content-range": `bytes ${range.start}-${range.end}/${status.size}` }, file, range);
  }

  async function stream(request, response, status, headers, file, range, through) {
    if (request.method === "HEAD" || headers["content-length"] === 0) return write(request, response, status, headers);
    const handle = await open(file);
    write(request, { writeHead: response.writeHead.bind(response), end() {} }, status, headers);
    await pipeline([createReadStream("", { fd: handle, ...range }), ...(through ? [through] : []), response]);
  }

  return async function answer(request, response) {
    if (settings.forceHttps && first(request.headers["x-forwarded-proto"])?.toLowerCase() !== "https") {
      const host = first(request.headers["x-forwarded-host"]) ?? request.headers[":authority"] ?? request.headers.host ?? "";
      const prefix = first(request.headers["x-forwarded-prefix"]) ?? "";
      if (!/^[\w.:[\]-]+$/.test(host)) return fail(request, response, 400);
      const safePrefix = /^\/[\w./~-]*$/.test(prefix) ? prefix.replace(/\/$/, "") : "";
      return write(request, response, 301, { location: `https://${host}${safePrefix}${request.url}`, "content-length": 0 });
    }
    if (settings.accounts && !mayEnter(settings.accounts, request.headers.authorization)) return fail(request, response, 401, { "www-authenticate": 'Basic realm="Restricted"' });
    if (request.method !== "GET" && request.method !== "HEAD") return fail(request, response, 405, { allow: "GET, HEAD" });
    const [rawPath] = request.url.split(/[?#]/, 1);
    let path;
    try {
      path = posix.normalize(`/${decodeURIComponent(rawPath)}`).replace(/^\/+/, "/");
    } catch {
      return fail(request, response, 400);
    }
    let found = await find(path);
    if (!found && settings.pushstate && (settings.hostDotFiles || !path.split("/").some((part) => part.startsWith(".")))) {
      path = "/";
      found = await find(path);
    }
    if (!found) return fail(request, response, 404);
    if (found.status.isFile()) return path.endsWith("/") ? fail(request, response, 404) : send(request, response, path, found);
    if (!found.status.isDirectory()) return fail(request, response, 404);
    if (!path.endsWith("/")) {
      // Without host and port: the server knows neither by which name it was called nor by which port. One slash at the start, or a browser takes the rest for a host.
      const query = request.url.slice(rawPath.length);
      return write(request, response, 301, { location: `/${rawPath.replace(/^\/+/, "")}/${query}`, "content-length": 0 });
    }
    for (const name of indexes) {
      const index = await findFile(path + name);
      if (index) return send(request, response, path + name, index);
    }
    return settings.directory ? list(request, response, path, found.file) : fail(request, response, 403);
  };
}

/** One range; several are answered with the whole file, as the standard allows. */
function rangeOf(request, size, tag) {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  if (from === undefined || (from === "" && to === "")) return undefined;
  const condition = request.headers["if-range"];
  if (condition !== undefined && condition !== tag) return undefined;
  const start = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  return start > end || start >= size ? "bad" : { start, end };
}
