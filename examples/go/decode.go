package main

import (
	"context"
	"fmt"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// decoder decodes values in the Confluent wire format, with the schemas that the registry has for their ids.
type decoder struct {
	registry *sr.Client
	schemas  map[int]*avro.Schema
}

func newDecoder(registryURL string) (*decoder, error) {
	registry, err := sr.NewClient(sr.URLs(registryURL))
	if err != nil {
		return nil, fmt.Errorf("registry client: %w", err)
	}
	return &decoder{registry: registry, schemas: map[int]*avro.Schema{}}, nil
}

// decode returns the fields of a record; times are time.Time.
func (d *decoder) decode(ctx context.Context, value []byte) (map[string]any, error) {
	var header sr.ConfluentHeader
	id, body, err := header.DecodeID(value)
	if err != nil {
		return nil, fmt.Errorf("no schema id: %w", err)
	}
	schema, err := d.schema(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	event := map[string]any{}
	if _, err := schema.Decode(body, &event); err != nil {
		return nil, fmt.Errorf("decode with schema %d: %w", id, err)
	}
	return event, nil
}

func (d *decoder) schema(ctx context.Context, id int) (*avro.Schema, error) {
	if schema, ok := d.schemas[id]; ok {
		return schema, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	found, err := d.registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, err
	}
	schema, err := avro.Parse(found.Schema)
	if err != nil {
		return nil, err
	}
	d.schemas[id] = schema
	return schema, nil
}
