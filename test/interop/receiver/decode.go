// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectorprofiles "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var decoders = map[string]func([]byte) (*found, error){
	"/v1development/profiles": otlp,
	"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export": otlp,
	"/v1/logs": logs,
	"/opentelemetry.proto.collector.logs.v1.LogsService/Export": logs,
	"/v1/metrics": metricsOf,
	"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": metricsOf,
	"/push.v1.PusherService/Push":                                     pyroscope,
	"/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw":       parca,
}

// serve decodes a request and says what to answer: what is wrong with it is a problem, whatever the fault asks for.
func serve(path string, body []byte) answer {
	totals.locked(func() { totals.Seen++ })
	decode := decoders[path]
	if decode == nil {
		totals.problem("nothing is at %s", path)
		return answer{status: http.StatusNotFound}
	}
	f, err := decode(body)
	if err != nil {
		totals.problem("%s: %v", path, err)
		return answer{status: http.StatusBadRequest, body: []byte(err.Error())}
	}
	if a := fault(); a.status != 0 {
		return a
	}
	totals.take(f, len(body))
	return answer{status: http.StatusOK}
}

// unknown is an error where a message holds what the official one has no field for.
func unknown(m protoreflect.Message) (err error) {
	if b := m.GetUnknown(); len(b) > 0 {
		n, _, _ := protowire.ConsumeField(b)
		return fmt.Errorf("%s: no field %d", m.Descriptor().FullName(), n)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = unknown(v.List().Get(i).Message())
			}
		default:
			err = unknown(v.Message())
		}
		return err == nil
	})
	return err
}

func read(body []byte, m proto.Message) error {
	if err := proto.Unmarshal(body, m); err != nil {
		return err
	}
	return unknown(m.ProtoReflect())
}

func bodyID(kind string, body []byte) string { return fmt.Sprintf("%s %x", kind, sha256.Sum256(body)) }

// An attribute's key and text; a Collector may have put both into the table of strings.
func attribute(a *common.KeyValue, strings []string) (string, string) {
	key := a.Key
	if key == "" && int(a.KeyStrindex) < len(strings) {
		key = strings[a.KeyStrindex]
	}
	switch v := a.Value.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return key, v.StringValue
	case *common.AnyValue_StringValueStrindex:
		return key, strings[v.StringValueStrindex]
	default:
		return key, fmt.Sprint(v)
	}
}

// The service of a resource, and all of its attributes in one line.
func resource(attributes []*common.KeyValue, table []string) (service, all string, err error) {
	var list []string
	seen := map[string]bool{}
	for _, a := range attributes {
		key, value := attribute(a, table)
		if key == "" || seen[key] {
			return "", "", fmt.Errorf("attribute %q is empty or there twice", key)
		}
		seen[key] = true
		list = append(list, key+"="+value)
		if key == "service.name" {
			service = value
		}
	}
	sort.Strings(list)
	return service, strings.Join(list, "\x00"), nil
}

func otlp(body []byte) (_ *found, err error) {
	var r collectorprofiles.ExportProfilesServiceRequest
	f := newFound("otlp")
	if err := read(body, &r); err != nil {
		return nil, err
	}
	defer func() { // an index that points nowhere
		if bad := recover(); bad != nil {
			err = fmt.Errorf("%v", bad)
		}
	}()
	d := r.Dictionary
	text := func(i int32) string { return d.StringTable[i] }
	if text(0) != "" || len(d.StackTable[0].LocationIndices) != 0 || d.MappingTable[0].MemoryLimit != 0 {
		return nil, fmt.Errorf("the first of a table is not empty")
	}
	for _, rp := range r.ResourceProfiles {
		service, _, err := resource(rp.Resource.Attributes, d.StringTable)
		if err != nil {
			return nil, err
		}
		for _, sp := range rp.ScopeProfiles {
			for _, p := range sp.Profiles {
				kind := text(p.SampleType.TypeStrindex) + "/" + text(p.SampleType.UnitStrindex) + " " +
					text(p.PeriodType.TypeStrindex) + "/" + text(p.PeriodType.UnitStrindex)
				if len(p.ProfileId) > 0 {
					f.ids = append(f.ids, fmt.Sprintf("%x", p.ProfileId))
				}
				f.at(p.TimeUnixNano)
				if p.TimeUnixNano == 0 || p.DurationNano == 0 {
					return nil, fmt.Errorf("time %d, duration %d", p.TimeUnixNano, p.DurationNano)
				}
				for _, s := range p.Samples {
					names := map[string]bool{}
					for _, l := range d.StackTable[s.StackIndex].LocationIndices {
						location := d.LocationTable[l]
						text(d.MappingTable[location.MappingIndex].FilenameStrindex)
						for _, line := range location.Lines {
							names[text(d.FunctionTable[line.FunctionIndex].NameStrindex)] = true
						}
					}
					for _, a := range s.AttributeIndices {
						if d.AttributeTable[a].Value == nil {
							return nil, fmt.Errorf("attribute %d has no value", a)
						}
					}
					f.entries++
					f.add(kind, service, names, s.Values[0])
				}
			}
		}
	}
	return f, nil
}

// Series of labels and pprof, as Pyroscope and Parca take them.
func (f *found) pprof(labels map[string]string, raw []byte) error {
	p, err := profile.Parse(bytes.NewReader(raw))
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		return fmt.Errorf("pprof: %w", err)
	}
	f.at(uint64(p.TimeNanos))
	if labels["__name__"] == "" || labels["service_name"] == "" {
		return fmt.Errorf("labels %v", labels)
	}
	for _, s := range p.Sample {
		names := map[string]bool{}
		for _, l := range s.Location {
			for _, line := range l.Line {
				names[line.Function.Name] = true
			}
		}
		f.entries++
		for i, t := range p.SampleType {
			f.add(fmt.Sprintf("%s:%s:%s:%s:%s", labels["__name__"], t.Type, t.Unit, p.PeriodType.Type, p.PeriodType.Unit),
				labels["service_name"], names, s.Value[i])
		}
	}
	return nil
}

func pyroscope(body []byte) (*found, error) {
	var r pushv1.PushRequest
	f := newFound("pyroscope")
	if err := read(body, &r); err != nil {
		return nil, err
	}
	for _, s := range r.Series {
		labels := map[string]string{}
		for _, l := range s.Labels {
			if _, twice := labels[l.Name]; twice {
				return nil, fmt.Errorf("label %s twice", l.Name)
			}
			labels[l.Name] = l.Value
		}
		for _, x := range s.Samples {
			f.ids = append(f.ids, x.ID)
			if err := f.pprof(labels, x.RawProfile); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// Fields of a message, by the protobuf library's own reader: Parca's module pulls in a whole server.
func fields(b []byte, each func(n protowire.Number, bytes []byte) error) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		whole := protowire.ConsumeFieldValue(n, t, b[size:])
		if whole < 0 {
			return protowire.ParseError(whole)
		}
		if t == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b[size:])
			if err := each(n, v); err != nil {
				return err
			}
		}
		b = b[size+whole:]
	}
	return nil
}

// WriteRawRequest {2 series {1 labels {1 label {1 name, 2 value}}, 2 samples {1 raw_profile}}}
func parca(body []byte) (*found, error) {
	f := newFound("parca")
	f.ids = append(f.ids, bodyID("parca", body))
	return f, fields(body, func(n protowire.Number, one []byte) error {
		labels := map[string]string{}
		var raw [][]byte
		err := fields(one, func(n protowire.Number, in []byte) error {
			return fields(in, func(m protowire.Number, b []byte) error {
				if n == 2 {
					if m == 1 {
						raw = append(raw, b)
					}
					return nil
				}
				var pair [3]string
				if err := fields(b, func(n protowire.Number, text []byte) error { pair[min(n, 2)] = string(text); return nil }); err != nil {
					return err
				}
				if _, twice := labels[pair[1]]; twice {
					return fmt.Errorf("label %s twice", pair[1])
				}
				labels[pair[1]] = pair[2]
				return nil
			})
		})
		if err == nil && n != 2 {
			err = fmt.Errorf("field %d", n)
		}
		for i := 0; i < len(raw) && err == nil; i++ {
			err = f.pprof(labels, raw[i])
		}
		return err
	})
}

func logs(body []byte) (*found, error) {
	var r collectorlogs.ExportLogsServiceRequest
	f := newFound("logs")
	f.ids = append(f.ids, bodyID("logs", body))
	if err := read(body, &r); err != nil {
		return nil, err
	}
	for _, rl := range r.ResourceLogs {
		service, _, err := resource(rl.Resource.Attributes, nil)
		if err != nil {
			return nil, err
		}
		for _, sl := range rl.ScopeLogs {
			for _, l := range sl.LogRecords {
				f.at(l.TimeUnixNano)
				var samples int64
				kind := ""
				for _, a := range l.Attributes {
					switch a.Key {
					case "profile.total_samples":
						samples = a.Value.GetIntValue()
					case "profile.type":
						kind = a.Value.GetStringValue()
					}
				}
				var v struct {
					SampleWeight int64
					StackFrames  []map[string]any
					StackDepth   int
				}
				text := l.Body.GetStringValue()
				if !utf8.ValidString(text) {
					return nil, fmt.Errorf("a body is not UTF-8")
				}
				if err := json.Unmarshal([]byte(text), &v); err != nil {
					return nil, err
				}
				if v.StackFrames != nil && len(v.StackFrames) != v.StackDepth {
					return nil, fmt.Errorf("%d frames of %d", len(v.StackFrames), v.StackDepth)
				}
				names := map[string]bool{}
				for _, frame := range v.StackFrames {
					for _, value := range frame {
						if name, is := value.(string); is {
							names[name] = true
						}
					}
				}
				f.entries++
				f.add(kind+" samples", service, names, samples)
				f.add(kind+" weight", service, nil, v.SampleWeight)
			}
		}
	}
	return f, nil
}

func metricsOf(body []byte) (*found, error) {
	var r collectormetrics.ExportMetricsServiceRequest
	f := newFound("metrics")
	f.ids = append(f.ids, bodyID("metrics", body))
	if err := read(body, &r); err != nil {
		return nil, err
	}
	for _, rm := range r.ResourceMetrics {
		service, of, err := resource(rm.Resource.Attributes, nil)
		if err != nil {
			return nil, err
		}
		point := func(metric string, attributes []*common.KeyValue, start, at uint64, value int64) error {
			_, which, err := resource(attributes, nil)
			key := of + "\x01" + metric + "\x01" + which
			if f.series[key] != nil {
				return fmt.Errorf("a series of %s stands twice", metric)
			}
			if start == 0 || start >= at {
				return fmt.Errorf("%s: start %d, time %d", metric, start, at)
			}
			f.series[key] = &series{metric, service, start, at, value}
			f.entries++
			return err
		}
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				switch d := m.Data.(type) {
				case *metrics.Metric_Sum:
					for _, p := range d.Sum.DataPoints {
						if err := point(m.Name, p.Attributes, p.StartTimeUnixNano, p.TimeUnixNano, p.GetAsInt()); err != nil {
							return nil, err
						}
					}
				case *metrics.Metric_Histogram:
					for _, p := range d.Histogram.DataPoints {
						var n uint64
						for _, c := range p.BucketCounts {
							n += c
						}
						if n != p.Count || len(p.BucketCounts) != len(p.ExplicitBounds)+1 {
							return nil, fmt.Errorf("%s: buckets hold %d of %d", m.Name, n, p.Count)
						}
						if err := point(m.Name+" count", p.Attributes, p.StartTimeUnixNano, p.TimeUnixNano, int64(p.Count)); err != nil {
							return nil, err
						}
					}
				}
			}
		}
	}
	return f, nil
}
