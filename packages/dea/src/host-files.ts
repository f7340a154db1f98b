/** Folders at the top of a host that hold programs and what they need. */
export const programFolders: readonly string[] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/**
 * Files of `/etc` that programs need to run: certificates, the linker's, names of protocols, time, and where languages
 * keep their settings. Nothing of users, services, keys or the machine.
 */
export const etcFiles: readonly string[] = [
  "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts", "gai.conf", "host.conf", "ld.so.cache", "ld.so.conf",
  "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "mailcap", "mime.types", "networks", "os-release", "perl", "pki/ca-trust", "pki/tls/certs",
  "protocols", "rpc", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone",
];

/** Beginnings of names in `/etc` of language runtimes, such as `java-17-openjdk` and `python3.11`. */
export const etcRuntimes = /^(java|python|php|ruby|mono)[\w.-]*$/;
