// Reads a Staticfile: YAML as these files are in practice, `key: value` lines and one map of status codes.

const unquote = (text) => {
  const found = /^(?:"([^"]*)"|'([^']*)')\s*(?:#.*)?$/.exec(text);
  return found ? (found[1] ?? found[2]) : text.replace(/\s+#.*$/, "").trim();
};

/** @returns {{ values: Record<string, string>, codes: Record<string, string> }} @throws Error that names the line */
export function readStaticfile(text) {
  const values = {};
  const codes = {};
  let inCodes = false;
  for (const [number, raw] of text.replace(/^\ufeff/, "").split(/\r?\n/).entries()) {
    if (/^\s*(#.*)?$/.test(raw) || /^(---|\.\.\.)\s*$/.test(raw)) continue;
    const found = /^(\s*)(?:"([^"]+)"|'([^']+)'|([^\s:#"'][^:]*?))\s*:(?:\s+(.*?))?\s*$/.exec(raw);
    if (!found) throw new Error(`Staticfile, line ${number + 1}: ${JSON.stringify(raw.trim())} is no "key: value"`);
    const key = found[2] ?? found[3] ?? found[4];
    const value = unquote(found[5] ?? "");
    if (found[1] !== "" && inCodes) codes[key] = value;
    else if (found[1] !== "") throw new Error(`Staticfile, line ${number + 1}: nothing but status_codes has lines below it`);
    else {
      inCodes = key === "status_codes" && value === "";
      values[key] = value;
    }
  }
  return { values, codes };
}

/** On are the words `enabled` and `true`, as in the original. */
const isOn = (value) => value === "enabled" || value === "true";
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
const groups = {
  "4xx": [...range(400, 418), ...range(421, 424), "426", "428", "429", "431", "451"],
  "5xx": [...range(500, 508), "510", "511"],
};

/** Pages by status: single codes count more than a whole group. */
export function pagesOf(codes) {
  const pages = {};
  for (const [key, page] of Object.entries(codes))
    for (const [group, members] of Object.entries(groups)) if (key.includes(group)) for (const code of members) pages[code] = page;
  for (const [key, page] of Object.entries(codes)) for (const code of key.match(/\b[45]\d\d\b/g) ?? []) pages[code] = page;
  return Object.fromEntries(Object.entries(pages).map(([code, page]) => [code, page.startsWith("/") ? page : `/${page}`]));
}

/** The settings of the server, and what the person who pushed should know. */
export function settingsOf({ values, codes }) {
  const warnings = [];
  const hstsOn = isOn(values["http_strict_transport_security"]);
  for (const name of ["include_subdomains", "preload"])
    if (isOn(values[`http_strict_transport_security_${name}`]) && !hstsOn) warnings.push(`http_strict_transport_security_${name} does nothing without http_strict_transport_security`);
  if (values["location_include"]) warnings.push("location_include holds directives for nginx, and this server is not nginx: it is ignored");
  const known = ["root", "host_dot_files", "location_include", "directory", "ssi", "pushstate", "force_https", "enable_http2", "status_codes"];
  for (const key of Object.keys(values)) if (!known.includes(key) && !key.startsWith("http_strict_transport_security")) warnings.push(`Staticfile has the unknown key ${JSON.stringify(key)}`);
  const directory = values["directory"] ?? "";
  return {
    warnings,
    root: (values["root"] || ".").replace(/^\/+/, "") || ".",
    settings: {
      hostDotFiles: isOn(values["host_dot_files"]),
      // In the original any word turns the listing on, "disabled" too; to show files to the world by a word that says no is worse than to differ.
      directory: directory !== "" && !/^(disabled|false|no|off)$/i.test(directory),
      ssi: isOn(values["ssi"]),
      pushstate: isOn(values["pushstate"]),
      hsts: !hstsOn ? null : ["max-age=31536000",
        ...(isOn(values["http_strict_transport_security_include_subdomains"]) ? ["includeSubDomains"] : []),
        ...(isOn(values["http_strict_transport_security_preload"]) ? ["preload"] : [])].join("; "),
      forceHttps: isOn(values["force_https"]),
      http2: isOn(values["enable_http2"]),
      pages: pagesOf(codes),
    },
  };
}
