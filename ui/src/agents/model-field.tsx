/** Chooses an agent's model. Owns: the list of choices. Refuses to know: the agent. */
import { useModels } from "../gateway/use-call.ts";
import { useWords } from "../i18n/words-context.tsx";
import { SelectField } from "../parts/field.tsx";

/** A model as provider/id; empty means the organization's default. */
export function ModelField(props: { value: string; onChange: (model: string) => void }) {
  const words = useWords();
  const models = useModels().data?.models ?? [];
  const ids = models.map((model) => `${model.provider}/${model.id}`);
  return (
    <SelectField
      label={words.agents.model}
      value={props.value}
      onChange={(event) => props.onChange(event.target.value)}
    >
      <option value="">{words.agents.modelDefault}</option>
      {props.value && !ids.includes(props.value) ? <option value={props.value}>{props.value}</option> : null}
      {models.map((model) => (
        <option key={`${model.provider}/${model.id}`} value={`${model.provider}/${model.id}`}>
          {`${model.name ?? model.id} (${model.provider})`}
        </option>
      ))}
    </SelectField>
  );
}
