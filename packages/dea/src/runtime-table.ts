/** A kind of runtime and how to ask a program for its version. */
export interface RuntimeKind {
  name: string;
  /** Names its programs have, best first where one version is found twice. */
  programs: RegExp;
  args: readonly string[];
  /** The version is the first group; programs say it on either output. */
  version: RegExp;
}

/** Runtimes that droplets may share, by the names that start messages use. */
export const runtimeTable: readonly RuntimeKind[] = [
  { name: "node", programs: /^node(js)?(-?\d+)?$/, args: ["--version"], version: /^v(\d[\w.-]*)/m },
  { name: "python", programs: /^python(\d(\.\d+)?)?$/, args: ["--version"], version: /^Python (\d[\w.+-]*)/m },
  { name: "ruby", programs: /^ruby(\d(\.\d+)?)?$/, args: ["--version"], version: /^j?ruby (\d[\d.]*)/m },
  { name: "java", programs: /^java$/, args: ["-version"], version: /version "(?:1\.)?(\d[\w.+-]*)"/ },
  { name: "go", programs: /^go(1\.\d+(\.\d+)?)?$/, args: ["version"], version: /go version go(\d[\w.]*)/ },
  { name: "php", programs: /^php(\d(\.\d+)?)?$/, args: ["--version"], version: /^PHP (\d[\d.]*)/m },
  { name: "dotnet", programs: /^dotnet$/, args: ["--version"], version: /^(\d[\w.-]*)/m },
  { name: "perl", programs: /^perl$/, args: ["-e", "printf 'v%vd', $^V"], version: /^v(\d[\d.]*)/ },
  { name: "deno", programs: /^deno$/, args: ["--version"], version: /^deno (\d[\w.-]*)/m },
  { name: "bun", programs: /^bun$/, args: ["--version"], version: /^(\d[\w.-]*)/m },
  { name: "erlang", programs: /^erl$/, args: ["-noshell", "-eval", "io:put_chars([\"OTP \", erlang:system_info(otp_release), \"\\n\"]), halt()."], version: /OTP (\d+)/ },
];
