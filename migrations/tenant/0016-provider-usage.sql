-- Where a provider of the tenant's own tells what it counted; without a key of its own it is asked with the model's key.
ALTER TABLE model_providers ADD COLUMN usage_url TEXT;
ALTER TABLE model_providers ADD COLUMN usage_key_sealed TEXT;
