/** All organizations of the platform. Owns: search, filter, the table. Refuses to know: what is inside one. */
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Building2, Plus } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { Link } from "wouter";
import { createOperatedTenant, listOperatedTenants, type OperatedTenant } from "../http/operator.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { SecretBox } from "../members/secret-box.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { NameForm } from "../sign-in/name-form.tsx";
import { OperatorPage } from "./operator-page.tsx";
import { TenantState } from "./tenant-state.tsx";

/** A narrow page shows these below the name instead. */
const WIDE = "hidden sm:table-cell";
const STATES = ["", "active", "suspended", "deleting"] as const;

function TenantRow(props: { tenant: OperatedTenant }) {
  const words = useWords();
  const formats = useFormats();
  const { tenant } = props;
  const seen =
    tenant.lastActivityAtMs === null ? words.time.never : formats.moment(new Date(tenant.lastActivityAtMs));
  const members = formats.count(tenant.members);
  const stored = formats.bytes(tenant.storageBytes);
  return (
    <tr className="border-t border-line">
      <td className="px-4 py-3 sm:px-6">
        <Link
          href={`/tenants/${encodeURIComponent(tenant.id)}`}
          className="quick -mx-2 block rounded-small px-2 py-1 hover:bg-hover"
        >
          <span className="block truncate text-m font-semibold">{tenant.name}</span>
          <span className="block truncate font-mono text-xs text-ink-3">{tenant.slug}</span>
          <span className="grid gap-1 pt-1 sm:hidden">
            <TenantState tenant={tenant} />
            <span className="block text-xs text-ink-2">{words.operator.inShort(members, stored, seen)}</span>
          </span>
        </Link>
      </td>
      <td className={`${WIDE} px-3 py-3`}>
        <TenantState tenant={tenant} />
      </td>
      <td className={`${WIDE} px-3 py-3 text-s`}>{tenant.plan}</td>
      <td className={`${WIDE} px-3 py-3 text-right text-s tabular-nums`}>{members}</td>
      <td className={`${WIDE} px-3 py-3 text-right text-s whitespace-nowrap tabular-nums`}>{stored}</td>
      <td className={`${WIDE} px-4 py-3 text-right text-s whitespace-nowrap text-ink-2 sm:px-6`}>{seen}</td>
    </tr>
  );
}

function CreateDialog(props: { open: boolean; onClose: () => void; onMade: () => void }) {
  const words = useWords();
  const [link, setLink] = useState<string>();
  const close = () => {
    setLink(undefined);
    props.onClose();
  };
  return (
    <Dialog
      open={props.open}
      onClose={close}
      title={link ? words.operator.ownerLinkTitle : words.operator.create}
      description={link ? words.operator.ownerLinkHint : words.operator.createHint}
    >
      {link ? (
        <SecretBox text={link} />
      ) : (
        <NameForm
          action={words.act.create}
          busyAction={words.act.saving}
          onCancel={close}
          onSave={async (wish) => {
            const made = await createOperatedTenant(wish);
            props.onMade();
            setLink(made.ownerLink);
          }}
        />
      )}
    </Dialog>
  );
}

function Table(props: { tenants: OperatedTenant[] }) {
  const words = useWords();
  const heads: [string, string][] = [
    [words.operator.name, "px-4 text-left sm:px-6"],
    [words.operator.state, `${WIDE} px-3 text-left`],
    [words.operator.plan, `${WIDE} px-3 text-left`],
    [words.operator.members, `${WIDE} px-3 text-right`],
    [words.operator.storage, `${WIDE} px-3 text-right`],
    [words.operator.lastActivity, `${WIDE} px-4 text-right sm:px-6`],
  ];
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard too
      tabIndex={0}
      aria-label={words.operator.tenants}
      className="overflow-x-auto rounded-large border border-line bg-card shadow-1"
    >
      <table className="w-full table-fixed sm:min-w-3xl sm:table-auto">
        <thead>
          <tr className="text-xs text-ink-3">
            {heads.map(([name, place]) => (
              <th key={name} scope="col" className={`py-3 font-medium ${place}`}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.tenants.map((tenant) => (
            <TenantRow key={tenant.id} tenant={tenant} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Filters(props: {
  search: string;
  status: string;
  onSearch: (text: string) => void;
  onStatus: (status: string) => void;
}) {
  const words = useWords();
  return (
    <div className="grid gap-3 sm:grid-cols-[1fr_14rem]">
      <TextField
        hideLabel
        type="search"
        label={words.operator.search}
        placeholder={words.operator.search}
        value={props.search}
        onChange={(event) => props.onSearch(event.target.value)}
      />
      <SelectField
        hideLabel
        label={words.operator.state}
        value={props.status}
        onChange={(event) => props.onStatus(event.target.value)}
      >
        {STATES.map((state) => (
          <option key={state} value={state}>
            {state === "" ? words.operator.anyState : words.operator[state]}
          </option>
        ))}
      </SelectField>
    </div>
  );
}

/** The list of organizations. */
export function TenantsPage() {
  const words = useWords();
  const queries = useQueryClient();
  const [search, setSearch] = useState("");
  const [status, setStatus] = useState("");
  const [creating, setCreating] = useState(false);
  const asked = useDeferredValue(search.trim());
  const list = useInfiniteQuery({
    queryKey: ["operator", "tenants", asked, status],
    queryFn: ({ pageParam }) => listOperatedTenants({ search: asked, status }, pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
  const tenants = list.data?.pages.flatMap((page) => page.tenants) ?? [];
  return (
    <OperatorPage
      title={words.operator.tenants}
      subtitle={words.operator.tenantsHint}
      actions={
        <Button tone="primary" onClick={() => setCreating(true)}>
          <Plus size={18} aria-hidden />
          {words.operator.create}
        </Button>
      }
    >
      <Filters search={search} status={status} onSearch={setSearch} onStatus={setStatus} />
      {list.isError ? (
        <Problem title={words.operator.failed} error={list.error} onRetry={() => void list.refetch()} />
      ) : list.isPending ? (
        <Skeleton lines={8} label={words.operator.tenants} />
      ) : tenants.length === 0 ? (
        <Sheet>
          <Empty icon={<Building2 size={28} aria-hidden />} title={words.operator.none} />
        </Sheet>
      ) : (
        <Table tenants={tenants} />
      )}
      {list.hasNextPage ? (
        <div className="flex justify-center">
          <Button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            {words.operator.more}
          </Button>
        </div>
      ) : null}
      <CreateDialog
        open={creating}
        onClose={() => setCreating(false)}
        onMade={() => void queries.invalidateQueries({ queryKey: ["operator", "tenants"] })}
      />
    </OperatorPage>
  );
}
