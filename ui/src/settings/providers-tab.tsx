/** Model providers: the tenant's own and the platform's. Owns: the lists. Refuses to know: the form's insides. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plug, Plus } from "lucide-react";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import {
  deleteProvider,
  listProviders,
  type PlatformProvider,
  type Provider,
  type ProviderModel,
} from "../http/tenant-settings.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { ConfirmDialog, Dialog } from "../parts/dialog.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { ProviderForm } from "./provider-form.tsx";

function modelNames(models: readonly ProviderModel[]): string {
  return models.map((model) => model.name || model.id).join(", ");
}

function OwnLine(props: { provider: Provider; onEdit: () => void; onDelete: () => void }) {
  const words = useWords();
  const { provider } = props;
  return (
    <li className="flex flex-wrap items-center gap-4 px-4 py-4 sm:px-6">
      <div className="grid min-w-48 flex-1 grid-cols-1 gap-1">
        <p className="flex flex-wrap items-center gap-2">
          <span className="text-m font-semibold">{provider.id}</span>
          <Badge tone={provider.hasKey ? "accent" : "plain"}>
            {provider.hasKey ? words.providers.hasKey : words.providers.noKey}
          </Badge>
        </p>
        <p className="truncate font-mono text-xs text-ink-3">{provider.baseUrl}</p>
        <p className="truncate text-s text-ink-2" title={modelNames(provider.models)}>
          {`${words.providers.modelCount(provider.models.length)}: ${modelNames(provider.models)}`}
        </p>
      </div>
      <div className="flex gap-2">
        <Button small onClick={props.onEdit}>
          {words.act.edit}
        </Button>
        <Button small onClick={props.onDelete}>
          {words.act.remove}
        </Button>
      </div>
    </li>
  );
}

function OwnSheet(props: {
  providers: Provider[];
  onEdit: (provider: Provider) => void;
  onDelete: (provider: Provider) => void;
}) {
  const words = useWords();
  return (
    <Sheet>
      <h2 className="px-4 pt-4 text-l font-semibold sm:px-6">{words.providers.own}</h2>
      {props.providers.length === 0 ? (
        <Empty
          icon={<Plug size={28} aria-hidden />}
          title={words.providers.empty}
          hint={words.providers.emptyHint}
        />
      ) : (
        <ul className="divide-y divide-line">
          {props.providers.map((provider) => (
            <OwnLine
              key={provider.id}
              provider={provider}
              onEdit={() => props.onEdit(provider)}
              onDelete={() => props.onDelete(provider)}
            />
          ))}
        </ul>
      )}
    </Sheet>
  );
}

function PlatformSheet(props: { providers: PlatformProvider[] }) {
  const words = useWords();
  if (props.providers.length === 0) return null;
  return (
    <Sheet className="grid gap-3 p-4 sm:p-6">
      <div className="grid gap-1">
        <h2 className="text-l font-semibold">{words.providers.platform}</h2>
        <p className="text-s text-ink-2">{words.providers.platformHint}</p>
      </div>
      <ul className="grid gap-2">
        {props.providers.map((provider) => (
          <li key={provider.id} className="flex flex-wrap items-baseline gap-x-3 text-m">
            <span className="font-medium">{provider.id}</span>
            <span className="text-s text-ink-2">{modelNames(provider.models)}</span>
          </li>
        ))}
      </ul>
    </Sheet>
  );
}

function EditDialog(props: {
  editing: Provider | "new" | undefined;
  onClose: () => void;
  onSaved: () => void;
}) {
  const words = useWords();
  const { editing } = props;
  const known = editing === "new" ? undefined : editing;
  return (
    <Dialog
      wide
      open={editing !== undefined}
      onClose={props.onClose}
      title={known ? words.providers.editTitle(known.id) : words.providers.add}
    >
      {editing ? (
        <ProviderForm
          {...(known ? { provider: known } : {})}
          onClose={props.onClose}
          onSaved={props.onSaved}
        />
      ) : null}
    </Dialog>
  );
}

/** The providers tab. */
export function ProvidersTab() {
  const words = useWords();
  const { slug } = useTenant();
  const queries = useQueryClient();
  const [editing, setEditing] = useState<Provider | "new">();
  const [doomed, setDoomed] = useState<Provider>();
  const answer = useQuery({ queryKey: ["tenant", slug, "providers"], queryFn: () => listProviders(slug) });
  const refresh = async () => {
    await queries.invalidateQueries({ queryKey: ["tenant", slug, "providers"] });
    await queries.invalidateQueries({ queryKey: ["tenant", slug, "models.list"] });
  };
  const close = () => setEditing(undefined);
  const saved = () => {
    close();
    void refresh();
  };
  return (
    <div className="grid grid-cols-1 gap-4">
      <div className="flex flex-wrap items-center justify-between gap-4">
        <p className="text-m text-ink-2">{words.providers.subtitle}</p>
        <Button tone="primary" onClick={() => setEditing("new")}>
          <Plus size={18} aria-hidden />
          {words.providers.add}
        </Button>
      </div>
      {answer.isError ? (
        <Problem title={words.providers.failed} error={answer.error} onRetry={() => void answer.refetch()} />
      ) : !answer.data ? (
        <Skeleton lines={5} label={words.settings.providers} />
      ) : (
        <>
          <OwnSheet providers={answer.data.providers} onEdit={setEditing} onDelete={setDoomed} />
          <PlatformSheet providers={answer.data.platform} />
        </>
      )}
      <EditDialog editing={editing} onClose={close} onSaved={saved} />
      <ConfirmDialog
        open={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={words.providers.deleteTitle(doomed?.id ?? "")}
        what={words.providers.deleteWhat}
        action={words.act.remove}
        onConfirm={async () => {
          if (doomed) await deleteProvider(slug, doomed.id);
          await refresh();
        }}
      />
    </div>
  );
}
