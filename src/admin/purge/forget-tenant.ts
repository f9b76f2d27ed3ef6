/**
 * Everything control.db knows of a tenant, and what of it may stay. Owns: finding those rows from the schema itself, so
 * that a table somebody adds later is emptied too unless it is named here. Refuses to know: files, keys.
 */
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";

/**
 * Tables whose rows outlive the tenant: bills (without names), slugs and receipts (nobody takes the place of who is
 * gone), the feed of changes (bounded, ids only).
 */
const KEPT = new Set([
  ...["usage_daily", "usage_daily_marks", "usage_charges", "gone_usage"],
  ...["old_slugs", "tenant_receipts", "access_changes"],
]);

/** What a column is called that says whose a row is. */
const OWNER_COLUMNS = ["tenant_id", "key_owner"];

/** Instead of an agent, a person and a channel in what stays of the usage. */
const ALL = "(all)";

/** The statements that forget a tenant, children before parents; the row of the tenant itself comes last. */
export async function forgetTenantStatements(control: Database, tenantId: TenantId): Promise<Statement[]> {
  const tables = await listTables(control);
  return [
    ...(await usageStatements(control, tenantId)),
    {
      sql: `UPDATE users SET display_name = 'Somebody who is gone' WHERE service_of = ? OR only_tenant_id = ?`,
      params: [tenantId, tenantId],
    },
    ...tables.map(({ table, owner }) => ({
      ...{ sql: `DELETE FROM "${table}" WHERE "${owner}" = ?`, params: [tenantId] },
    })),
  ];
}

/** Tables with a tenant's rows, those that others refer to after the others. */
async function listTables(control: Database): Promise<{ table: string; owner: string }[]> {
  const rows = await control.list<{ name: string; owner: string }>(
    `SELECT m.name, p.name AS owner FROM sqlite_master m JOIN pragma_table_info(m.name) p
      WHERE m.type = 'table' AND p.name IN (SELECT value FROM json_each(?)) ORDER BY m.name`,
    [JSON.stringify(OWNER_COLUMNS)],
  );
  const owners = new Map(rows.map(({ name, owner }) => [name, owner]));
  const names = [...owners.keys()].filter((name) => !KEPT.has(name));
  const links = await control.list<{ child: string; parent: string }>(
    `SELECT m.name AS child, f."table" AS parent FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
      WHERE m.type = 'table'`,
  );
  const ordered: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (ordered.includes(name) || path.includes(name)) return;
    for (const { child, parent } of links) {
      if (parent === name && names.includes(child)) visit(child, [...path, name]);
    }
    ordered.push(name);
  };
  for (const name of names) visit(name, []);
  return ordered.map((table) => ({ table, owner: owners.get(table) ?? "tenant_id" }));
}

/** Usage becomes a bill: sums per day, provider and model, no longer saying whose they were. */
async function usageStatements(control: Database, tenantId: TenantId): Promise<Statement[]> {
  const columns = await control.list<{ name: string; pk: number }>(
    "SELECT name, pk FROM pragma_table_info('usage_daily') ORDER BY cid",
  );
  const hidden = new Set(["agent_id", "user_id", "channel"]);
  const values = columns.map(({ name, pk }) =>
    hidden.has(name) ? `'${ALL}'` : pk > 0 ? name : `sum(${name})`,
  );
  return [
    {
      sql: `INSERT INTO usage_daily (${columns.map(({ name }) => name).join(", ")})
        SELECT ${values.join(", ")} FROM usage_daily WHERE tenant_id = ? AND user_id <> '${ALL}'
        GROUP BY tenant_id, day, provider, model`,
      params: [tenantId],
    },
    { sql: `DELETE FROM usage_daily WHERE tenant_id = ? AND user_id <> '${ALL}'`, params: [tenantId] },
  ];
}
