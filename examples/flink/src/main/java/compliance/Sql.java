package compliance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Runs the statements of an SQL file in an embedded Flink, and prints their results. */
public final class Sql {
    private static final Pattern VARIABLE = Pattern.compile("\\$\\{(\\w+)}");

    public static void main(String[] arguments) throws IOException {
        var script = VARIABLE.matcher(Files.readString(Path.of(arguments[0]))).replaceAll(Sql::value);
        var flink = TableEnvironment.create(EnvironmentSettings.inBatchMode());
        for (var statement : script.split(";\\s*\n")) {
            flink.executeSql(statement).print();
        }
    }

    private static String value(MatchResult variable) {
        return System.getenv(variable.group(1));
    }
}
