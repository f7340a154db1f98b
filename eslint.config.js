import tseslint from "typescript-eslint";

// Only rules that catch what the compiler cannot, or that keep the parts apart.
// Layers, cycles and package edges are the business of scripts/check-layers.mjs.
export default tseslint.config(
  { ignores: ["**/dist/**", "**/node_modules/**", "**/tsup.config.ts", "**/*.d.ts", "docs/api/**", "**/fixtures/**", "**/buildpacks/**", "examples/apps/**", "**/public/**"] },
  {
    files: ["**/*.ts"],
    plugins: { "@typescript-eslint": tseslint.plugin },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: "./tsconfig.json", tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports", disallowTypeAnnotations: false }],
      "@typescript-eslint/max-params": ["error", { max: 4 }],
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-floating-promises": ["error", { ignoreVoid: true }],
      "@typescript-eslint/no-for-in-array": "error",
      "@typescript-eslint/no-implied-eval": "error",
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { arguments: false, attributes: false, properties: false, returns: false, inheritedMethods: false } }],
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "eqeqeq": ["error", "always", { null: "ignore" }],
      "no-constant-condition": ["error", { checkLoops: false }],
      "no-empty": ["error", { allowEmptyCatch: true }],
      "no-fallthrough": "error",
      "no-restricted-imports": ["error", { patterns: [
        { group: ["@opencf/*/src/*", "@opencf/*/dist/*", "@opencf/*/test/*"], message: "Import the package or one of its exported subpaths." },
        { group: ["@opencf-examples/*"], message: "Examples are leaves: nothing imports them." },
      ] }],
      "no-self-compare": "error",
      "no-unsafe-finally": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  {
    // Tests describe services to themselves: `void` is their way of not waiting, and a table row may carry many columns.
    files: ["**/test/**/*.ts"],
    rules: { "@typescript-eslint/max-params": "off" },
  },
  {
    files: ["**/*.mjs", "**/*.js"],
    rules: { eqeqeq: ["error", "always", { null: "ignore" }], "no-var": "error", "prefer-const": "error", "no-unsafe-finally": "error", "no-self-compare": "error" },
  },
);
