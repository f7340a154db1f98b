import { readFile } from "node:fs/promises";
import ts from "typescript";

/**
 * @typedef {{ specifier: string, typeOnly: boolean, line: number }} Import
 */

/** Every module a TypeScript file names: import, export from, `import()`, and `import("x").Type`.
 * @param {string} file @returns {Promise<Import[]>} */
export async function importsOf(file) {
  const text = await readFile(file, "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, false, ts.ScriptKind.TS);
  /** @type {Import[]} */
  const found = [];
  const add = (/** @type {ts.Node} */ node, /** @type {ts.Node | undefined} */ literal, /** @type {boolean} */ typeOnly) => {
    if (literal && ts.isStringLiteral(literal)) {
      found.push({ specifier: literal.text, typeOnly, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 });
    }
  };
  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement)) add(statement, statement.moduleSpecifier, onlyTypes(statement.importClause));
    else if (ts.isExportDeclaration(statement) && statement.moduleSpecifier) {
      const named = statement.exportClause && ts.isNamedExports(statement.exportClause) ? statement.exportClause.elements : undefined;
      add(statement, statement.moduleSpecifier, statement.isTypeOnly || (named !== undefined && named.length > 0 && named.every((element) => element.isTypeOnly)));
    }
  }
  if (text.includes("import(")) {
    const visit = (/** @type {ts.Node} */ node) => {
      if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node, node.arguments[0], false);
      if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node, node.argument.literal, true);
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return found;
}

/** @param {ts.ImportClause | undefined} clause `undefined` is `import "x"`, which runs the module */
function onlyTypes(clause) {
  if (!clause) return false;
  if (clause.isTypeOnly) return true;
  const bindings = clause.namedBindings;
  return !clause.name && bindings !== undefined && ts.isNamedImports(bindings)
    && bindings.elements.length > 0 && bindings.elements.every((element) => element.isTypeOnly);
}
