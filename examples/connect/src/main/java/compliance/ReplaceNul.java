package compliance;

import java.util.Map;

import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.transforms.Transformation;

/** Replaces U+0000 in the text of a value by U+FFFD: X sends it in profiles, and PostgreSQL cannot store it. */
public final class ReplaceNul<R extends ConnectRecord<R>> implements Transformation<R> {
    @Override
    public R apply(R record) {
        if (record.value() instanceof Struct value) {
            for (var field : value.schema().fields()) {
                if (value.get(field) instanceof String text) {
                    value.put(field, text.replace('\0', '\ufffd'));
                }
            }
        }
        return record;
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef();
    }

    @Override
    public void configure(Map<String, ?> settings) {}

    @Override
    public void close() {}
}
