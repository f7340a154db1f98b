// Content types by extension, and which of them are worth compressing.
const types = {
  html: "text/html", htm: "text/html", shtml: "text/html", css: "text/css", js: "text/javascript", mjs: "text/javascript", txt: "text/plain", md: "text/markdown",
  csv: "text/csv", vtt: "text/vtt", ics: "text/calendar", xml: "application/xml", json: "application/json", map: "application/json", jsonld: "application/ld+json",
  webmanifest: "application/manifest+json", rss: "application/rss+xml", atom: "application/atom+xml", svg: "image/svg+xml", wasm: "application/wasm",
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", ico: "image/x-icon", bmp: "image/bmp",
  woff: "font/woff", woff2: "font/woff2", ttf: "font/ttf", otf: "font/otf", eot: "application/vnd.ms-fontobject", pdf: "application/pdf", zip: "application/zip",
  gz: "application/gzip", tgz: "application/gzip", mp3: "audio/mpeg", ogg: "audio/ogg", wav: "audio/wav", m4a: "audio/mp4", mp4: "video/mp4", webm: "video/webm",
};
const texts = /^(text\/|application\/(json|xml|manifest\+json|ld\+json|rss\+xml|atom\+xml|wasm|vnd\.ms-fontobject)|image\/(svg\+xml|x-icon|bmp)|font\/(ttf|otf))/;

export const typeOf = (path) => types[path.slice(path.lastIndexOf(".") + 1).toLowerCase()] ?? "application/octet-stream";
export const withCharset = (type) => (type.startsWith("text/") || /(json|xml)$/.test(type) ? `${type}; charset=utf-8` : type);
export const isCompressible = (type) => texts.test(type);
