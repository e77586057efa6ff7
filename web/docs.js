// @ts-check
/** The reference for people: everything on it is read from openapi.json, which the server makes from what it checks. */

/** @typedef {Record<string, any>} Json */

/**
 * @param {string} tag
 * @param {Json} [attributes]
 * @param {...(Node | string)} children
 */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Text with `code` and **bold** in it. @param {string} text */
function prose(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    return part.startsWith("**") ? make("b", {}, part.slice(2, -2)) : part;
  });
}

/** @param {string} reference */
const nameOf = (reference) => /** @type {string} */ (reference.split("/").at(-1));

/** What a schema allows, in a line. @param {Json} schema @returns {(Node | string)[]} */
function line(schema) {
  if (schema.$ref) return [make("a", { href: `#${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
  const options = schema.anyOf ?? schema.allOf?.slice(0, 1);
  if (options) return options.flatMap((/** @type {Json} */ option, /** @type {number} */ at) => [at ? " or " : "", ...line(option)]);
  if ("const" in schema) return [make("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return [make("code", {}, schema.enum.map((/** @type {any} */ value) => JSON.stringify(value)).join(" | "))];
  if (schema.type === "array") {
    const count = schema.minItems === undefined ? "" : ` (${schema.minItems})`;
    return [`array${count} of `, ...line(schema.items)];
  }
  const bounds = [];
  if (schema.minimum !== undefined) bounds.push(`≥ ${schema.minimum}`);
  if (schema.exclusiveMinimum !== undefined) bounds.push(`> ${schema.exclusiveMinimum}`);
  // JavaScript reads 2^63 - 1 as 2^63.
  if (schema.maximum > Number.MAX_SAFE_INTEGER) bounds.push(`< 2^${Math.log2(schema.maximum)}`);
  else if (schema.maximum !== undefined) bounds.push(`≤ ${schema.maximum}`);
  if (schema.maxLength !== undefined) bounds.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern !== undefined) bounds.push(`like ${schema.pattern}`);
  return [[schema.type ?? "bytes", ...bounds].join(", ")];
}

/** @param {string[]} heads @param {(Node | string)[][][]} rows */
function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  return make("table", {}, head, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, ...cell)))));
}

/** The fields of an object. @param {Json} schema */
function fieldsOf(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, /** @type {Json} */ field]) => {
    const given = "default" in field ? `, else ${JSON.stringify(field.default)}` : "";
    const need = schema.required.includes(name) ? "" : `optional${given}`;
    return [[make("code", {}, name)], line(field), [need]];
  });
  return rows.length ? table(["field", "type", ""], rows) : make("p", {}, "No fields.");
}

/** @param {string} id @param {(Node | string)[]} heading @param {(Node | string)[]} content */
function section(id, heading, content) {
  return make("details", { id }, make("summary", {}, ...heading), make("div", {}, ...content));
}

/** @param {Json} content @returns {(Node | string)[]} */
function media(content) {
  return Object.entries(content).flatMap(([type, /** @type {Json} */ body], at) => [
    ...(at ? [make("br")] : []),
    make("code", {}, type),
    " ",
    ...(body.schema ? line(body.schema) : ["bytes"]),
  ]);
}

/** @param {string} path @param {string} method @param {Json} operation */
function route(path, method, operation) {
  const parts = [];
  const tokens = (operation.security ?? []).flatMap(Object.keys);
  if (tokens.length) {
    const optional = operation.security.some((/** @type {Json} */ one) => Object.keys(one).length === 0);
    const which = tokens[0] === "control" ? "the stream's control token" : "the server's access token";
    const asked = optional ? ", where it asks one" : "";
    parts.push(make("p", {}, ...prose(`\`Authorization: Bearer\` with ${which}${asked}.`)));
  }
  if (operation.parameters.length) {
    const rows = operation.parameters.map((/** @type {Json} */ one) => [
      [make("code", {}, one.name)],
      [`in the ${one.in}`],
      prose(one.description),
    ]);
    parts.push(make("h4", {}, "Parameters"), table(["name", "", ""], rows));
  }
  if (operation.requestBody) parts.push(make("h4", {}, "Body"), make("p", {}, ...media(operation.requestBody.content)));
  const answers = Object.entries(operation.responses).map(([status, /** @type {Json} */ answer]) => [
    [make("code", {}, status)],
    prose(answer.description),
    status < "400" ? media(answer.content ?? {}) : [],
    [Object.keys(answer.headers ?? {}).join(", ")],
  ]);
  parts.push(make("h4", {}, "Answers"), table(["status", "", "body", "headers"], answers));
  const heading = [make("b", {}, method.toUpperCase()), make("code", {}, path), make("span", {}, operation.summary)];
  return section(operation.operationId, heading, parts);
}

/** @param {Json} entry @param {Json} schemas */
function message(entry, schemas) {
  const name = nameOf(entry.message.$ref);
  const schema = schemas[name];
  const parts = [make("p", {}, ...prose(schema.description)), fieldsOf(schema)];
  if (entry.replies) {
    const replies = entry.replies.map((/** @type {string} */ type) => `\`${type}\``).join(", then ");
    parts.push(make("p", {}, ...prose(`Replies: ${replies}; or \`error\`.`)));
  }
  return section(name, [make("code", {}, entry.type)], parts);
}

/** @param {string} title @param {(Node | string)[]} content */
function chapter(title, content) {
  const id = title.toLowerCase().replaceAll(/\W+/g, "-");
  document.querySelector("main")?.append(make("section", { id, "aria-label": title }, make("h2", {}, title), ...content));
  document.querySelector("nav ul")?.append(make("li", {}, make("a", { href: `#${id}` }, title)));
}

/** Opens what the address points to. */
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

/** @param {Json} api */
function show(api) {
  const schemas = api.components.schemas;
  document.querySelector("#about")?.replaceChildren(...prose(api.info.description));
  document.querySelector("nav")?.append(make("ul"));
  /** @type {Map<string, Node[]>} */
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const [group] = operation.tags;
      groups.set(group, [...(groups.get(group) ?? []), route(path, method, operation)]);
    }
  }
  for (const [group, routes] of groups) chapter(group, routes);
  const channel = api["x-control-channel"];
  const about = make("p", {}, ...prose(channel.description));
  chapter("Data channel: commands", [about, ...channel.client.map((/** @type {Json} */ one) => message(one, schemas))]);
  chapter("Data channel: from the server", channel.server.map((/** @type {Json} */ one) => message(one, schemas)));
  const told = new Set([...channel.client, ...channel.server].map((one) => nameOf(one.message.$ref)));
  const others = Object.entries(schemas).filter(([name]) => !told.has(name));
  chapter(
    "Objects",
    others.map(([name, schema]) =>
      section(name, [make("code", {}, name)], [make("p", {}, ...prose(schema.description)), fieldsOf(schema)]),
    ),
  );
  const codes = Object.entries(api["x-errors"]).map(([code, /** @type {Json} */ error]) => [
    [make("code", {}, code)],
    [String(error.status)],
    [error.retryable ? "may work later" : ""],
  ]);
  chapter("Error codes", [table(["code", "status over HTTP", "retryable"], codes)]);
  addEventListener("hashchange", openTarget);
  openTarget();
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
  show(await response.json());
} catch (error) {
  document.querySelector("#about")?.replaceChildren(`The reference can't be shown: ${error}. Reload the page.`);
}
