/** Edits one provider: address, key, models. Owns: the form. Refuses to know: the list. */
import { Plus, X } from "lucide-react";
import { useState } from "react";
import { useTenantMoney } from "../billing/use-billing.ts";
import { useTenant } from "../gateway/tenant-context.tsx";
import { type ModelWish, type Provider, type ProviderModel, saveProvider } from "../http/tenant-settings.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button, IconButton } from "../parts/button.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";
import { PROVIDER_PRESETS } from "./provider-presets.ts";

const NEW_MODEL: ProviderModel = { id: "", name: "", contextWindow: 128_000, maxTokens: 8_192 };
const ID_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

interface Wish {
  id: string;
  baseUrl: string;
  apiKey: string;
  models: ProviderModel[];
  usageUrl: string;
  usageKey: string;
}

function withPrice(model: ProviderModel, field: "input" | "output", text: string): ProviderModel {
  const cost = model.cost ?? { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  return { ...model, cost: { ...cost, [field]: Number(text) || 0 } };
}

function ModelFields(props: {
  model: ProviderModel;
  onChange: (model: ProviderModel) => void;
  onRemove: (() => void) | undefined;
}) {
  const words = useWords();
  const { model, onChange } = props;
  // The sign of no currency in particular stands until the tenant's is known.
  const { currency = "¤" } = useTenantMoney();
  const wholeNumber = (text: string) => Math.floor(Number(text)) || null;
  return (
    <li className="grid gap-3 rounded-medium border border-line bg-paper p-3">
      <div className="grid grid-cols-[1fr_auto] items-end gap-3 sm:grid-cols-[1fr_1fr_auto]">
        <TextField
          label={words.providers.modelId}
          value={model.id}
          onChange={(e) => onChange({ ...model, id: e.target.value })}
        />
        <div className="order-last col-span-2 sm:order-none sm:col-span-1">
          <TextField
            label={words.providers.modelName}
            value={model.name}
            onChange={(e) => onChange({ ...model, name: e.target.value })}
          />
        </div>
        <IconButton label={words.providers.removeModel} disabled={!props.onRemove} onClick={props.onRemove}>
          <X size={16} aria-hidden />
        </IconButton>
      </div>
      <div className="grid grid-cols-2 items-end gap-3 sm:grid-cols-4">
        <TextField
          label={words.providers.context}
          inputMode="numeric"
          value={model.contextWindow ?? ""}
          onChange={(e) => onChange({ ...model, contextWindow: wholeNumber(e.target.value) })}
        />
        <TextField
          label={words.providers.maxTokens}
          inputMode="numeric"
          value={model.maxTokens ?? ""}
          onChange={(e) => onChange({ ...model, maxTokens: wholeNumber(e.target.value) })}
        />
        <TextField
          label={words.providers.costIn(currency)}
          type="number"
          min={0}
          step="any"
          value={model.cost?.input ?? ""}
          onChange={(e) => onChange(withPrice(model, "input", e.target.value))}
        />
        <TextField
          label={words.providers.costOut(currency)}
          type="number"
          min={0}
          step="any"
          value={model.cost?.output ?? ""}
          onChange={(e) => onChange(withPrice(model, "output", e.target.value))}
        />
      </div>
    </li>
  );
}

function ModelList(props: { models: ProviderModel[]; onChange: (models: ProviderModel[]) => void }) {
  const words = useWords();
  const { models, onChange } = props;
  const replace = (index: number, next: ProviderModel) =>
    onChange(models.map((model, other) => (other === index ? next : model)));
  return (
    <fieldset className="grid gap-2">
      <legend className="mb-2 text-s font-medium text-ink-2">{words.providers.models}</legend>
      <ul className="grid gap-2">
        {models.map((model, index) => (
          <ModelFields
            // biome-ignore lint/suspicious/noArrayIndexKey: the id is what is being edited
            key={index}
            model={model}
            onChange={(next) => replace(index, next)}
            onRemove={
              models.length > 1 ? () => onChange(models.filter((_, other) => other !== index)) : undefined
            }
          />
        ))}
      </ul>
      <div>
        <Button small tone="quiet" onClick={() => onChange([...models, NEW_MODEL])}>
          <Plus size={16} aria-hidden />
          {words.providers.addModel}
        </Button>
      </div>
    </fieldset>
  );
}

function PresetField(props: { onPick: (wish: Partial<Wish>) => void }) {
  const words = useWords();
  const [picked, setPicked] = useState("");
  const pick = (id: string) => {
    setPicked(id);
    const preset = PROVIDER_PRESETS.find((other) => other.id === id);
    if (preset) props.onPick({ id: preset.id, baseUrl: preset.baseUrl, models: preset.models });
  };
  return (
    <SelectField label={words.providers.preset} value={picked} onChange={(event) => pick(event.target.value)}>
      <option value="">{words.providers.presetCustom}</option>
      {PROVIDER_PRESETS.map((preset) => (
        <option key={preset.id} value={preset.id}>
          {preset.label}
        </option>
      ))}
    </SelectField>
  );
}

/** What the server takes: trimmed, and without the fields that were left empty. */
function toWish(model: ProviderModel): ModelWish {
  const id = model.id.trim();
  return {
    id,
    name: model.name.trim() || id,
    ...(model.contextWindow ? { contextWindow: model.contextWindow } : {}),
    ...(model.maxTokens ? { maxTokens: model.maxTokens } : {}),
    ...(model.cost ? { cost: model.cost } : {}),
  };
}

function toUsage({ usageUrl, usageKey }: Wish): { url: string; apiKey?: string } | null {
  const [url, apiKey] = [usageUrl.trim(), usageKey.trim()];
  if (url === "") return null;
  return { url, ...(apiKey ? { apiKey } : {}) };
}

function useSave(wish: Wish, onSaved: () => void) {
  const { slug } = useTenant();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const models = wish.models.filter((model) => model.id.trim()).map(toWish);
      const key = wish.apiKey.trim();
      await saveProvider(slug, wish.id, {
        baseUrl: wish.baseUrl.trim(),
        models,
        ...(key ? { apiKey: key } : {}),
        usage: toUsage(wish),
      });
      onSaved();
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
      setBusy(false);
    }
  };
  return { save, busy, failure };
}

function UsageFields(props: {
  wish: Wish;
  isSet: boolean;
  hasKey: boolean;
  onChange: (part: Partial<Wish>) => void;
}) {
  const words = useWords();
  const { wish, onChange } = props;
  return (
    <details className="grid gap-4 text-m" open={props.isSet}>
      <summary className="quick cursor-pointer rounded-small py-1 text-s text-ink-2 hover:text-ink">
        {words.providers.usage}
      </summary>
      <div className="grid gap-4 pt-2">
        <p className="text-s text-ink-2">{words.providers.usageHint}</p>
        <TextField
          label={words.providers.usageUrl}
          type="url"
          placeholder="https://"
          hint={words.providers.usageUrlHint}
          value={wish.usageUrl}
          onChange={(e) => onChange({ usageUrl: e.target.value })}
        />
        <TextField
          label={words.providers.usageKey}
          type="password"
          autoComplete="new-password"
          hint={props.hasKey ? words.providers.keyKeep : words.providers.usageKeyNone}
          value={wish.usageKey}
          onChange={(e) => onChange({ usageKey: e.target.value })}
        />
      </div>
    </details>
  );
}

/** The form of one provider, new or known. */
export function ProviderForm(props: { provider?: Provider; onClose: () => void; onSaved: () => void }) {
  const words = useWords();
  const { provider } = props;
  const [wish, setWish] = useState<Wish>({
    id: provider?.id ?? "",
    baseUrl: provider?.baseUrl ?? "",
    apiKey: "",
    usageUrl: provider?.usage?.url ?? "",
    usageKey: "",
    models: provider?.models.length ? provider.models : [NEW_MODEL],
  });
  const change = (part: Partial<Wish>) => setWish((before) => ({ ...before, ...part }));
  const { save, busy, failure } = useSave(wish, props.onSaved);
  const complete =
    ID_PATTERN.test(wish.id) &&
    /^https?:\/\/\S+$/.test(wish.baseUrl.trim()) &&
    wish.models.some((model) => model.id.trim());
  return (
    <form
      className="grid gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        if (complete && !busy) void save();
      }}
    >
      {provider ? null : (
        <div className="grid gap-5 sm:grid-cols-2">
          <PresetField onPick={change} />
          <TextField
            label={words.providers.id}
            hint={words.providers.idHint}
            value={wish.id}
            onChange={(e) => change({ id: e.target.value })}
          />
        </div>
      )}
      <TextField
        label={words.providers.url}
        type="url"
        placeholder="https://"
        value={wish.baseUrl}
        onChange={(e) => change({ baseUrl: e.target.value })}
      />
      <TextField
        label={words.providers.key}
        type="password"
        autoComplete="new-password"
        hint={provider?.hasKey ? words.providers.keyKeep : words.providers.keyNone}
        value={wish.apiKey}
        onChange={(e) => change({ apiKey: e.target.value })}
      />
      <UsageFields
        wish={wish}
        isSet={Boolean(provider?.usage)}
        hasKey={provider?.usage?.hasKey === true}
        onChange={change}
      />
      <ModelList models={wish.models} onChange={(models) => change({ models })} />
      {failure ? <Problem compact title={words.providers.saveFailed} error={failure} /> : null}
      <div className="flex justify-end gap-2">
        <Button onClick={props.onClose}>{words.act.cancel}</Button>
        <Button tone="primary" type="submit" disabled={!complete || busy}>
          {busy ? words.act.saving : words.act.save}
        </Button>
      </div>
    </form>
  );
}
